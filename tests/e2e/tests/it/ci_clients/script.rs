//! The script is served as it is in the tree, and has the exit codes that its README lists.

use crate::ci_clients::clients;
use crate::snippets::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_serves_the_files() {
    let site = Site::start().await;
    for (name, path) in
        [("run.py", "run.py"), ("action.yml", "github/action.yml"), ("capi.gitlab-ci.yml", "gitlab/capi.yml")]
    {
        let (status, text) = site.stack.page(&site.gateway, &format!("/docs/clients/{name}"), "").await;
        assert_eq!((status, text), (200, std::fs::read_to_string(clients().join(path)).unwrap()), "{name}");
    }
    assert_eq!(site.stack.page(&site.gateway, "/docs/clients/../run.py", "").await.0, 404);
    assert_eq!(site.stack.page(&site.gateway, "/docs/clients/README.md", "").await.0, 404);
}
