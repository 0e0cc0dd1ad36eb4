//! A look from inside, at the worker's start: a script tells what it finds, and each layer is judged by that. What no answer vouches for
//! does not hold.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::policy::{Interpreter, Mounts};
use super::supervise::{Ended, Job, supervise};
use super::{Engine, processes};
use crate::workspace::{Allowance, Home};

/// Layers that do not hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Without these no command may run.
    pub(super) needed: Vec<&'static str>,
    /// The kernel does not offer these.
    pub(super) further: Vec<&'static str>,
}

const TIME: Duration = Duration::from_secs(20);

/// What is found inside, as `name=value` lines. Builtins where they do: each program costs time.
const PROBE: &str = r#"
while read -r name value _; do
    case $name in NoNewPrivs:|Seccomp:|Seccomp_filters:|CapEff:|CapBnd:) echo "$name=$value" ;; esac
done < /proc/self/status
echo "uid=$EUID pid=$PPID host=$HOSTNAME"
echo "processes=$(ulimit -u)"; echo "memory=$(ulimit -v)"; echo "files=$(ulimit -n)"; echo "core=$(ulimit -c)"
echo "interfaces=$(grep -c : /proc/net/dev)"
(: > /usr/capi-probe) 2>/dev/null && echo system=writable || echo system=read-only
(: > /etc/capi-probe) 2>/dev/null && echo etc=writable || echo etc=read-only
(: > /dev/capi-probe) 2>/dev/null && echo devices=writable || echo devices=read-only
(: > inputs/capi-probe) 2>/dev/null && echo inputs=writable || echo inputs=read-only
(echo probe > capi-probe) 2>/dev/null && echo workspace=writable
(echo probe > /proc/self/comm) 2>/dev/null && echo landlock=absent || echo landlock=holds
unshare --user true 2>/dev/null && echo namespaces=nested || echo namespaces=flat
(exec 3<> /dev/tcp/127.0.0.1/9) 2>&1 | grep -q 'Operation not permitted' && echo sockets=refused
echo "environment=$(compgen -e | sort | tr '\n' ' ')"
set -- /proc/self/fd/*; echo "descriptors=${*##*/}"
"#;

/// Runs the probe.
pub(super) async fn missing(engine: &Arc<Engine>, home: &Home) -> Missing {
    let nothing = || Missing { needed: vec!["bwrap"], further: vec![] };
    let Ok(dirs) = home.make_run_dirs("self-test").inspect_err(|error| {
        tracing::error!(%error, "no workspace can be made");
    }) else {
        return nothing();
    };
    let job = Job {
        interpreter: Interpreter::Bash,
        script: PROBE.to_owned(),
        mounts: Mounts { workspace: dirs.workspace.clone(), inputs: dirs.inputs.clone() },
        printed: dirs.run.join("printed"),
        time: TIME,
        allowance: Allowance { bytes: 1 << 20, entries: engine.limits.entries, depth: engine.limits.depth },
    };
    let written = dirs.workspace.join("capi-probe");
    let probed = supervise(Arc::clone(engine), job, CancellationToken::new()).await;
    let owner = std::fs::symlink_metadata(written).map(|file| file.uid()).ok();
    home.remove(&dirs.run);
    match probed {
        Ok(execution) if matches!(execution.ended, Ended::Exited(_)) => {
            let told = execution.printed.shown("");
            tracing::debug!(told, "the sandbox's self-test");
            let mut missing = judge(&told, owner, execution.landlocked);
            if engine.cgroups.is_none() {
                missing.further.push("cgroup");
                if !processes::can_be_seen() {
                    missing.needed.push("memory");
                }
            }
            missing
        }
        Ok(execution) => {
            tracing::error!(ended = ?execution.ended, "the sandbox's self-test did not end by itself");
            nothing()
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox's self-test did not run");
            nothing()
        }
    }
}

/// Judges what the probe told, with the user whom a file that it wrote belongs to outside: pure.
fn judge(told: &str, owner: Option<u32>, landlocked: bool) -> Missing {
    let found: HashMap<&str, &str> = told
        .split(['\n'])
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let is = |name: &str, value: &str| found.get(name) == Some(&value);
    let number = |name: &str| found.get(name).and_then(|value| value.parse::<u64>().ok());
    let no_capabilities =
        |name: &str| found.get(name).is_some_and(|set| set.bytes().all(|digit| digit == b'0'));
    let known = "HOME LANG MPLBACKEND MPLCONFIGDIR OMP_NUM_THREADS OPENBLAS_NUM_THREADS PATH PWD PYTHONDONTWRITEBYTECODE \
                 PYTHONPATH PYTHONUNBUFFERED SHLVL TERM TZ USER _";
    let environment = found.get("environment").is_some_and(|names| {
        !names.is_empty() && names.split(' ').all(|name| known.split(' ').any(|known| known == name))
    });
    // 3 is the directory that the script looks at, 255 the script.
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
        // The filter of the container that the worker may be in is counted too.
        (
            "seccomp",
            is("Seccomp:", "2")
                && number("Seccomp_filters:").is_some_and(|count| count >= 2)
                && is("sockets", "refused"),
        ),
        (
            "limits",
            number("processes").is_some()
                && number("memory").is_some()
                && is("core", "0")
                && number("files").is_some_and(|most| most <= 1024),
        ),
        ("network", is("interfaces", "1")),
        (
            "read_only_system",
            ["system", "etc", "devices", "inputs"].iter().all(|place| is(place, "read-only")),
        ),
        ("workspace", is("workspace", "writable")),
        ("user_namespaces", is("namespaces", "flat")),
        ("environment", environment),
        ("descriptors", descriptors),
        ("landlock", !landlocked || is("landlock", "holds")),
    ];
    let needed = layers.into_iter().filter(|(_, holds)| !holds).map(|(layer, _)| layer).collect();
    Missing { needed, further: if landlocked { vec![] } else { vec!["landlock"] } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "NoNewPrivs:=1\nSeccomp:=2\nSeccomp_filters:=2\nCapEff:=0000000000000000\nCapBnd:=0000000000000000\n\
        uid=1000 pid=1 host=sandbox\nprocesses=64\nmemory=2097152\nfiles=256\ncore=0\ninterfaces=1\nsystem=read-only\n\
        etc=read-only\ndevices=read-only\ninputs=read-only\nworkspace=writable\nlandlock=holds\nnamespaces=flat\nsockets=refused\n\
        environment=HOME LANG PATH PWD SHLVL _ \ndescriptors=0 1 2\n";

    #[test]
    fn each_layer_is_missed_when_its_sign_is() {
        assert_eq!(judge(GOOD, Some(65_533), true), Missing::default());
        assert_eq!(judge(GOOD, Some(65_533), false), Missing { needed: vec![], further: vec!["landlock"] });
        for (sign, other, layer) in [
            ("pid=1", "pid=2", "user"),
            ("CapEff:=0000000000000000", "CapEff:=0000000000200000", "capabilities"),
            ("Seccomp:=2", "Seccomp:=0", "seccomp"),
            ("sockets=refused\n", "", "seccomp"),
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
            assert_eq!(judge(&GOOD.replace(sign, other), Some(65_533), true).needed, [layer], "{sign}");
        }
        for owner in [Some(0), None] {
            assert_eq!(judge(GOOD, owner, true).needed, ["user"]);
        }
        assert_eq!(judge("", None, true).needed.len(), 11, "nothing holds that nothing vouches for");
    }
}
