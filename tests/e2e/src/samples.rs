//! What the sample apps of deploy/apps use: the demo model, and a search of the pages of deploy/samples.

use std::path::{Path, PathBuf};

use shared::testing::FileServer;

use crate::accounts::EMAIL;
use crate::stack::Stack;

/// A file or a directory of `deploy`.
#[must_use]
pub fn deploy(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy")).join(path)
}

impl Stack {
    /// Imports an app of deploy/apps, as an operator does; its id.
    pub async fn import_sample(&self, name: &str) -> String {
        let file = std::fs::read_to_string(deploy(&format!("apps/{name}.toml")));
        let file = file.expect("the sample is there");
        self.cli(&["app", "import", "/dev/stdin", "--email", EMAIL], &file).await
    }

    /// Adds the demo model, for the services that start from now on.
    pub fn add_demo_model(&self) {
        let path = self.setting("CAPI_MODELS");
        let mut models = std::fs::read_to_string(path).expect("the models file can be read");
        models.push_str("\n[[models]]\nid = \"demo\"\nname = \"Demo\"\nprovider = \"demo\"\n");
        std::fs::write(path, models).expect("the models file can be written");
    }

    /// Serves the pages of deploy/samples, and sets a search provider that has an index of them, for the
    /// services that start from now on.
    pub async fn add_sample_pages(&mut self) {
        let dir = deploy("samples/pages");
        let mut server = FileServer::default();
        for page in std::fs::read_dir(&dir).expect("the sample pages are there") {
            let page = page.expect("a directory can be read");
            let bytes = std::fs::read(page.path()).expect("a sample page can be read");
            server.add(&format!("/{}", page.file_name().to_string_lossy()), "text/html", bytes);
        }
        let base = server.start().await.url("/");
        let providers =
            format!("[[providers]]\nprovider = 'local'\npath = '{}'\nbase_url = '{base}'\n", dir.display());
        let file = self.dir.path().join("search.toml");
        std::fs::write(&file, providers).expect("a file can be written");
        self.settings = self.settings_with("CAPI_SEARCH", &file.display().to_string());
    }
}
