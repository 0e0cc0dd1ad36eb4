//! What reading one document may cost. The programs get these limits as the constants of the same names.

use std::time::Duration;

/// Bytes of a document: as many as the gateway accepts of a file.
pub const MAX_DOCUMENT_BYTES: u64 = 100 << 20;
/// Documents that one worker reads at once. Each may take `memory`.
pub(super) const READS_AT_ONCE: usize = 2;
/// How long a read waits for those of other runs.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How long a read waits for others of its own run, which reads one document at a time: so one run with many
/// documents takes the place of no other run.
pub(super) const TURN_PATIENCE: Duration = Duration::from_mins(2);
/// The time of a program: its own limit and what it needs to say so, also on a busy machine.
pub(super) const TIME: Duration = Duration::from_mins(1);
/// Bytes of an answer: the text, with escapes of up to six bytes for a byte.
pub(super) const MAX_ANSWER_BYTES: u64 = 8 << 20;
/// The longest time until [`super::Documents::read`] returns: waiting twice, the start of the sandbox, the
/// program, and the end of its processes.
pub const MAX_READ_TIME: Duration = Duration::from_secs(270);

/// With the name of each constant.
pub(super) const PROGRAM_LIMITS: [(&str, u64); 11] = [
    // A program stops reading after this time, and answers with what it has.
    ("SECONDS", 40),
    // Bytes of data. Honest documents need a tenth.
    ("MEMORY", 512 << 20),
    // Bytes of the text. The model reads less of it at once.
    ("TEXT_BYTES", 1 << 20),
    // Pages of a PDF, and slides.
    ("PAGES", 500),
    ("SHEETS", 50),
    // A sheet with more rows is shown by its first rows. For the others, the model writes a program.
    ("WHOLE_ROWS", 1000),
    ("HEAD_ROWS", 100),
    ("COLUMNS", 50),
    // Characters of a cell.
    ("CELL_CHARS", 200),
    // Bytes of one unpacked part of a ZIP archive. Larger ones are bombs; rows of a sheet do not count.
    ("PART_BYTES", 64 << 20),
    // Links from one part of a document to others.
    ("RELATIONS", 10_000),
];
