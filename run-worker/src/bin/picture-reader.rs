//! The child process that decodes a picture and makes it small enough for a model. Only the run-worker starts
//! it; see `run_worker::pictures`.

fn main() -> anyhow::Result<()> {
    run_worker::pictures::reader::run()
}
