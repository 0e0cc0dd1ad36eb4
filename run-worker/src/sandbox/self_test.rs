//! Checks every layer from inside when the worker starts. A script prints what it finds, and the worker
//! checks each layer by that. A layer without an answer counts as missing.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::job::{EndReason, Job};
use super::policy::Interpreter;
use super::supervise::supervise;
use super::{Engine, processes};
use crate::workspace::{Home, Mounts, Quota};

/// The self-test writes nothing. While other programs fill the disk, a small quota would end it.
const SELF_TEST_BYTES: u64 = 1 << 30;

/// Layers that do not work.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Without these, no command may run.
    pub(super) required: Vec<&'static str>,
    /// This machine does not offer these. Commands run without them.
    pub(super) optional: Vec<&'static str>,
}

const TIME: Duration = Duration::from_secs(20);

/// Those of the worker, and the two of sandbox-entry.
const FILTERS: u64 = 7;

/// Prints `name=value` lines. It uses builtins where possible: each program costs time.
const PROBE: &str = r#"
while read -r name value _; do
    case $name in NoNewPrivs:|Seccomp:|Seccomp_filters:|CapEff:|CapBnd:) echo "$name=$value" ;; esac
done < /proc/self/status
echo "uid=$EUID pid=$PPID host=$HOSTNAME"
echo "processes=$(ulimit -u)"; echo "memory=$(ulimit -v)"; echo "files=$(ulimit -n)"; echo "core=$(ulimit -c)"
echo "data=$(ulimit -d)"
echo "interfaces=$(grep -c : /proc/net/dev)"
(: > /usr/capi-probe) 2>/dev/null && echo system=writable || echo system=read-only
(: > /etc/capi-probe) 2>/dev/null && echo etc=writable || echo etc=read-only
(: > /dev/capi-probe) 2>/dev/null && echo devices=writable || echo devices=read-only
(: > inputs/capi-probe) 2>/dev/null && echo inputs=writable || echo inputs=read-only
(echo probe > capi-probe) 2>/dev/null && echo workspace=writable
(echo probe > /proc/self/comm) 2>/dev/null && echo landlock=absent || echo landlock=holds
refusal=$(unshare --user true 2>&1) && echo namespaces=nested || echo namespaces=flat
case $refusal in *'not implemented'*) echo calls=refused ;; esac
(exec 3<> /dev/tcp/127.0.0.1/9) 2>&1 | grep -q 'Connection refused' && echo loopback=empty
echo "environment=$(compgen -e | sort | tr '\n' ' ')"
set -- /proc/self/fd/*; echo "descriptors=${*##*/}"
# The worker measures the script meanwhile.
sleep 0.1
"#;

pub(super) async fn missing(engine: &Arc<Engine>, home: &Home) -> Missing {
    let all = || Missing { required: vec!["bwrap"], optional: vec![] };
    let Ok(dirs) = home.make_run_dirs("self-test").inspect_err(|error| {
        tracing::error!(%error, "failed to make the workspace of the self-test");
    }) else {
        return all();
    };
    let job = Job {
        interpreter: Interpreter::Bash,
        script: PROBE.to_owned(),
        mounts: Mounts { workspace: dirs.workspace.clone(), inputs: dirs.inputs.clone() },
        output_file: dirs.run.join("output"),
        time: TIME,
        quota: Quota { bytes: SELF_TEST_BYTES, entries: engine.limits.entries, depth: engine.limits.depth },
    };
    let written = dirs.workspace.join("capi-probe");
    let probed = supervise(Arc::clone(engine), job, CancellationToken::new()).await;
    let owner = std::fs::symlink_metadata(written).map(|file| file.uid()).ok();
    home.remove(&dirs.run);
    match probed {
        Ok(execution) if matches!(execution.end, EndReason::Exited(_)) => {
            let output = execution.output.shown("");
            tracing::debug!(output, "output of the sandbox's self-test");
            let mut missing = missing_layers(&output, owner, execution.landlocked);
            missing.optional.extend(execution.unmeasured);
            match &engine.cgroups {
                Some(cgroups) if cgroups.has_cpu() => {}
                Some(_) => missing.optional.push("cpu_cgroup"),
                None => {
                    missing.optional.push("cgroup");
                    if !processes::can_be_seen() {
                        missing.required.push("memory");
                    }
                }
            }
            missing
        }
        // The script has no socket: these are the machine's.
        Ok(execution) if matches!(execution.end, EndReason::SocketLimit(_)) => {
            Missing { required: vec!["network"], optional: vec![] }
        }
        Ok(execution) => {
            tracing::error!(end = ?execution.end, "the sandbox's self-test did not end by itself");
            all()
        }
        Err(error) => {
            tracing::error!(%error, "failed to run the sandbox's self-test");
            all()
        }
    }
}

/// Reads the output of the probe. `owner` is the user outside that owns the file which the probe wrote.
fn missing_layers(output: &str, owner: Option<u32>, landlocked: bool) -> Missing {
    let found: HashMap<&str, &str> = output
        .split(['\n'])
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let is = |name: &str, value: &str| found.get(name) == Some(&value);
    let number = |name: &str| found.get(name).and_then(|value| value.parse::<u64>().ok());
    let no_capabilities =
        |name: &str| found.get(name).is_some_and(|set| set.bytes().all(|digit| digit == b'0'));
    let known = "GIT_CONFIG_SYSTEM HOME LANG MPLBACKEND MPLCONFIGDIR OMP_NUM_THREADS \
                 OPENBLAS_NUM_THREADS PATH PWD PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONUNBUFFERED SHLVL \
                 TERM TZ USER _";
    let environment = found.get("environment").is_some_and(|names| {
        !names.is_empty() && names.split(' ').all(|name| known.split(' ').any(|known| known == name))
    });
    // 3 is the directory that the script lists, 255 is the script.
    let descriptors = found.get("descriptors").is_some_and(|open| {
        open.starts_with("0 1 2") && open.split(' ').all(|fd| ["0", "1", "2", "3", "255"].contains(&fd))
    });
    let layers = [
        (
            "user",
            found.get("uid").is_some_and(|uid| uid.starts_with("1000 pid=1 host=sandbox"))
                && owner.is_some_and(|uid| uid != 0),
        ),
        ("capabilities", no_capabilities("CapEff:") && no_capabilities("CapBnd:") && is("NoNewPrivs:", "1")),
        // The filter of a container around the worker counts too.
        (
            "seccomp",
            is("Seccomp:", "2")
                && number("Seccomp_filters:").is_some_and(|count| count >= FILTERS)
                && is("calls", "refused"),
        ),
        (
            "limits",
            number("processes").is_some()
                && number("memory").is_some()
                && number("data").is_some()
                && is("core", "0")
                && number("files").is_some_and(|most| most <= 1024),
        ),
        ("network", is("interfaces", "1") && is("loopback", "empty")),
        ("read_only_system", ["system", "etc", "devices", "inputs"].iter().all(|name| is(name, "read-only"))),
        ("workspace", is("workspace", "writable")),
        ("user_namespaces", is("namespaces", "flat")),
        ("environment", environment),
        ("descriptors", descriptors),
        ("landlock", !landlocked || is("landlock", "holds")),
    ];
    let required = layers.into_iter().filter(|(_, works)| !works).map(|(layer, _)| layer).collect();
    Missing { required, optional: if landlocked { vec![] } else { vec!["landlock"] } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "NoNewPrivs:=1\nSeccomp:=2\nSeccomp_filters:=7\nCapEff:=0000000000000000\n\
        CapBnd:=0000000000000000\nuid=1000 pid=1 host=sandbox\nprocesses=64\nmemory=2097152\nfiles=256\n\
        core=0\ndata=2097152\ninterfaces=1\nsystem=read-only\netc=read-only\ndevices=read-only\n\
        inputs=read-only\nworkspace=writable\nlandlock=holds\nnamespaces=flat\ncalls=refused\n\
        loopback=empty\nenvironment=HOME LANG PATH PWD SHLVL _ \ndescriptors=0 1 2\n";

    #[test]
    fn a_layer_is_missing_without_its_sign() {
        assert_eq!(missing_layers(GOOD, Some(65_533), true), Missing::default());
        assert_eq!(
            missing_layers(GOOD, Some(65_533), false),
            Missing { required: vec![], optional: vec!["landlock"] }
        );
        for (sign, other, layer) in [
            ("pid=1", "pid=2", "user"),
            ("CapEff:=0000000000000000", "CapEff:=0000000000200000", "capabilities"),
            ("Seccomp:=2", "Seccomp:=0", "seccomp"),
            ("calls=refused\n", "", "seccomp"),
            ("loopback=empty\n", "", "network"),
            ("data=2097152", "data=unlimited", "limits"),
            ("processes=64", "processes=unlimited", "limits"),
            ("interfaces=1", "interfaces=2", "network"),
            ("devices=read-only", "devices=writable", "read_only_system"),
            ("workspace=writable\n", "", "workspace"),
            ("namespaces=flat", "namespaces=nested", "user_namespaces"),
            ("HOME LANG", "CAPI_SECRET_KEY LANG", "environment"),
            ("descriptors=0 1 2", "descriptors=0 1 2 9", "descriptors"),
            ("landlock=holds", "landlock=absent", "landlock"),
        ] {
            assert!(GOOD.contains(sign), "{sign}");
            assert_eq!(
                missing_layers(&GOOD.replace(sign, other), Some(65_533), true).required,
                [layer],
                "{sign}"
            );
        }
        for owner in [Some(0), None] {
            assert_eq!(missing_layers(GOOD, owner, true).required, ["user"]);
        }
        assert_eq!(missing_layers("", None, true).required.len(), 11, "a layer without an answer is missing");
    }
}
