//! One process of the program `picture-reader`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::protocol::{Answer, Format, MAX_LINE_BYTES, Refusal};
use super::{MAX_READY_BYTES, PictureError};

/// The exit code after a panic: a library did not expect such a picture.
const PANICKED: i32 = 101;

/// Sends a picture and waits for the answer. The process ends with this future.
pub(super) async fn ask(program: &Path, picture: &[u8]) -> Result<(Format, Vec<u8>), PictureError> {
    let lost = |error: std::io::Error| PictureError::Unavailable(format!("{}: {error}", program.display()));
    let mut process = Command::new(program)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(lost)?;
    let (Some(mut stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
        return Err(PictureError::Unavailable("no pipe to the process".to_owned()));
    };
    let sending = async move {
        // An error says that the process has ended, and its exit status says why.
        let _ = stdin.write_all(picture).await;
        drop(stdin);
    };
    let most = MAX_LINE_BYTES + MAX_READY_BYTES;
    let receiving = async move {
        let (mut answer, mut stdout) = (Vec::new(), stdout.take(most as u64 + 1));
        stdout.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let ((), answer) = tokio::join!(sending, receiving);
    let answer = answer.map_err(lost)?;
    if answer.len() > most {
        return Err(PictureError::Unavailable("the answer is too long".to_owned()));
    }
    match process.wait().await.map_err(lost)? {
        status if status.success() => parse(&answer),
        status => Err(why_ended(status)),
    }
}

fn parse(answer: &[u8]) -> Result<(Format, Vec<u8>), PictureError> {
    let unreadable = || PictureError::Unavailable("the answer cannot be read".to_owned());
    let end = answer.iter().position(|byte| *byte == b'\n').ok_or_else(unreadable)?;
    match serde_json::from_slice(&answer[..end]).map_err(|_| unreadable())? {
        Answer::Ready(format) => Ok((format, answer[end + 1..].to_vec())),
        Answer::Refused(refusal) => Err(refusal.into()),
    }
}

/// A kill from outside, for example by the kernel when the machine has no memory, says nothing about the
/// picture.
fn why_ended(status: ExitStatus) -> PictureError {
    match (status.code(), status.signal()) {
        (Some(PANICKED), _) => Refusal::Damaged.into(),
        (_, Some(libc::SIGXCPU)) => Refusal::TooSlow.into(),
        (_, Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGBUS)) => Refusal::TooMuchMemory.into(),
        _ => PictureError::Unavailable(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_process_says_whose_fault_it_is() {
        let why = |status| why_ended(ExitStatus::from_raw(status)).outcome();
        for (status, outcome) in [
            (PANICKED << 8, "damaged"),
            (libc::SIGXCPU, "too_slow"),
            (libc::SIGABRT, "too_much_memory"),
            (libc::SIGKILL, "unavailable"),
            (1 << 8, "unavailable"),
        ] {
            assert_eq!(why(status), outcome, "{status}");
        }
    }

    #[test]
    fn an_answer_is_a_line_and_the_bytes_behind_it() {
        let (format, bytes) = parse(b"{\"Ready\":\"Png\"}\n\x89PNG\n").unwrap();
        assert_eq!((format, bytes.as_slice()), (Format::Png, &b"\x89PNG\n"[..]));
        let refused = parse(b"{\"Refused\":{\"TooManyPixels\":{\"width\":1,\"height\":2}}}\n");
        assert_eq!(refused.unwrap_err().outcome(), "too_many_pixels");
        for answer in [&b""[..], b"{\"Ready\":\"Png\"}", b"{\"Ready\":\"Bmp\"}\n", b"\n"] {
            assert_eq!(parse(answer).unwrap_err().outcome(), "unavailable", "{}", answer.escape_ascii());
        }
    }
}
