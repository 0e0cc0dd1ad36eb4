//! The space of the store's disk. Uploads leave a reserve free, so that a full store refuses them while
//! everything else continues: snapshots of running runs may use the reserve.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Whether an error, or one of its causes, says that the disk or a quota is full.
pub(super) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The bytes that an ordinary user may still write to the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_among_the_causes() {
        let full = || Box::new(io::Error::from(ErrorKind::StorageFull));
        assert!(is_full(&io::Error::from(ErrorKind::QuotaExceeded)));
        assert!(is_full(&object_store::Error::Generic { store: "local", source: full() }));
        let other = Box::new(io::Error::from(ErrorKind::PermissionDenied));
        assert!(!is_full(&object_store::Error::Generic { store: "local", source: other }));
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
    }
}
