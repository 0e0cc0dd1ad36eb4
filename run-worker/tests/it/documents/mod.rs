//! Documents of all kinds, honest and hostile ones, read in the real sandbox. A script with the libraries of
//! the kit makes most of them.

mod hostile;
mod office;
mod pdf;

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use run_worker::documents::{DocumentKind, DocumentText, Documents, MAX_READ_TIME};
use run_worker::sandbox::{Parts, Sandbox};
use run_worker::tools::ToolError;
use run_worker::workspace::{Home, Quota, Workspace};
use shared::ids::RunId;
use uuid::Uuid;

const QUOTA: Quota = Quota { bytes: 200 << 20, entries: 100, depth: 10 };

/// The prepared Python of the tests.
fn python() -> std::path::PathBuf {
    std::env::var_os("CAPI_TEST_SANDBOX_PYTHON").unwrap().into()
}

struct Rig {
    documents: Arc<Documents>,
    home: Arc<Home>,
    workspace: Workspace,
    dir: tempfile::TempDir,
}

impl Rig {
    async fn open() -> Self {
        Self::with(Some(python())).await
    }

    async fn with(python: Option<std::path::PathBuf>) -> Self {
        // A directory that every user can enter: the sandbox's user must.
        let dir = tempfile::Builder::new().prefix("capi-documents-").tempdir_in("/var/tmp").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let home = Arc::new(Home::make(dir.path(), 65_533).unwrap());
        let entry = env!("CARGO_BIN_EXE_sandbox-entry").into();
        let parts = Parts { bwrap: "/usr/bin/bwrap".into(), entry, python, supervisor: None };
        let sandbox = Arc::new(Sandbox::open(&parts, &home).await);
        let workspace = Workspace::make(&home, RunId::generate(), 1, QUOTA).unwrap();
        Self { documents: Arc::new(Documents::new(sandbox)), home, workspace, dir }
    }

    /// Runs a script that makes documents in the current directory.
    fn make(&self, script: &str) {
        let made = Command::new(python().join("bin/python3"))
            .args(["-c", script])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Reads a document and checks that nothing of the read is left.
    async fn read(&self, name: &str) -> Result<DocumentText, String> {
        let kind = Path::new(name).extension().unwrap().to_str().unwrap();
        let kind = DocumentKind::of_extension(kind).unwrap();
        let (file, begun) = (File::open(self.path(name)).unwrap(), Instant::now());
        let read = self.documents.read(&self.workspace, Uuid::now_v7(), file, kind).await;
        assert!(begun.elapsed() < MAX_READ_TIME + Duration::from_mins(1), "{name}: {:?}", begun.elapsed());
        let run = self.workspace.private_path("");
        let mut left: Vec<_> =
            std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["inputs", "workspace"], "{name}");
        read.map_err(|error| match error {
            ToolError::RespondToModel(why) => why,
            ToolError::Fatal(code, why) => panic!("{name}: {code:?} {why}"),
        })
    }

    async fn text(&self, name: &str) -> DocumentText {
        self.read(name).await.unwrap()
    }

    async fn refusal(&self, name: &str) -> String {
        self.read(name).await.unwrap_err()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_or_its_python_the_model_is_told() {
    let rig = Rig::with(None).await;
    std::fs::write(rig.path("a.pdf"), "%PDF-1.4").unwrap();
    assert!(rig.refusal("a.pdf").await.contains("Python is not prepared"));
    let off = Documents::new(Arc::new(Sandbox::off()));
    let file = File::open(rig.path("a.pdf")).unwrap();
    let read = off.read(&rig.workspace, Uuid::now_v7(), file, DocumentKind::Pdf).await;
    assert!(matches!(read, Err(ToolError::RespondToModel(why)) if why.contains("turned off")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_read_leaves_nothing() {
    let rig = Rig::open().await;
    rig.make(
        "from reportlab.pdfgen import canvas
c = canvas.Canvas('a.pdf')
for n in range(400): c.drawString(50, 700, f'Page {n}'); c.showPage()
c.save()",
    );
    for wait in [0, 50, 300] {
        let file = File::open(rig.path("a.pdf")).unwrap();
        let reading = rig.documents.read(&rig.workspace, Uuid::now_v7(), file, DocumentKind::Pdf);
        let _ = tokio::time::timeout(Duration::from_millis(wait), reading).await;
    }
    // This also waits for the ends of the others.
    let run = rig.workspace.private_path("");
    rig.workspace.clone().close().await;
    assert!(!run.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_many_documents_delays_no_other_run() {
    const MANY: usize = 6;
    let rig = Rig::open().await;
    rig.make(
        "from reportlab.pdfgen import canvas
c = canvas.Canvas('a.pdf')
c.drawString(50, 700, 'A page'); c.showPage(); c.save()",
    );
    let read_in = |workspace: Workspace| {
        let (documents, file) = (Arc::clone(&rig.documents), File::open(rig.path("a.pdf")).unwrap());
        async move { documents.read(&workspace, Uuid::now_v7(), file, DocumentKind::Pdf).await }
    };
    let done = Arc::new(AtomicUsize::new(0));
    let reading: Vec<_> = (0..MANY)
        .map(|_| {
            let (read, done) = (read_in(rig.workspace.clone()), Arc::clone(&done));
            tokio::spawn(async move {
                let read = read.await;
                done.fetch_add(1, Ordering::SeqCst);
                read
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let other = Workspace::make(&rig.home, RunId::generate(), 1, QUOTA).unwrap();
    read_in(other).await.unwrap();
    let before = done.load(Ordering::SeqCst);
    assert!(before < MANY - 2, "{before} of {MANY} reads of one run came before the read of another");
    for read in reading {
        read.await.unwrap().unwrap();
    }
}
