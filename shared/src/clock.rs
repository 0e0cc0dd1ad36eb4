//! Notices when the database's clock jumps: an operator set it, or a standby with another clock took over.
//! What was written with the old time is then too early or too late. A process compares the database's clock
//! with its own monotonic clock, which never jumps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diesel::QueryableByName;
use diesel::sql_types::Double;
use diesel_async::RunQueryDsl;
use tokio::time::Instant;

use crate::db::{Connection, DbError, statement};

/// The time of the database, and when this process asked for it and got it.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub sent: Instant,
    pub received: Instant,
    /// Seconds since 1970.
    pub seconds: f64,
}

/// What happened to the database's clock since the last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClockMove {
    None,
    /// At least so many seconds ahead.
    Ahead(f64),
    /// At least so many seconds back.
    Back(f64),
}

/// The difference between the two clocks, in seconds: the two bounds that the last reading gives.
#[derive(Debug, Clone, Copy)]
struct Offset {
    least: f64,
    most: f64,
}

/// Compares the database's clock with this process's clocks.
#[derive(Debug)]
pub struct ClockWatch {
    /// A smaller move is none. Clocks drift, and are corrected slowly.
    bound: f64,
    begun: Instant,
    last: Option<Offset>,
}

impl ClockWatch {
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        Self { bound: bound.as_secs_f64(), begun: Instant::now(), last: None }
    }

    /// Compares a reading with the last one. The first one is compared with the clock of this machine, which
    /// most likely did not jump together with that of the database: a process that begins after a jump should
    /// notice it too.
    pub fn read(&mut self, reading: Reading) -> ClockMove {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.read_at(reading, wall)
    }

    /// `wall` is the time of this machine at the end of the reading.
    fn read_at(&mut self, reading: Reading, wall: f64) -> ClockMove {
        let since = |at: Instant| at.saturating_duration_since(self.begun).as_secs_f64();
        let (sent, received) = (since(reading.sent), since(reading.received));
        let now = Offset { least: reading.seconds - received, most: reading.seconds - sent };
        let machine = Offset { least: wall - received, most: wall - received };
        let before = self.last.replace(now).unwrap_or(machine);
        let (ahead, back) = (now.least - before.most, before.least - now.most);
        if ahead > self.bound {
            ClockMove::Ahead(ahead)
        } else if back > self.bound {
            ClockMove::Back(back)
        } else {
            ClockMove::None
        }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Reads the clock with which leases are compared. Fails on a standby, whose clock may be another one.
pub async fn read_clock(conn: &mut Connection) -> Result<Reading, DbError> {
    let sql = "SELECT extract(epoch FROM capi_now())::double precision AS seconds
               WHERE NOT pg_is_in_recovery()";
    let sent = Instant::now();
    let mut rows: Vec<Row> = statement(sql).load(conn).await?;
    let row = rows.pop().ok_or(DbError::ReadOnly)?;
    Ok(Reading { sent, received: Instant::now(), seconds: row.seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(5);

    /// A reading this long after the start, whose answer took a while.
    fn reading(watch: &ClockWatch, after: u32, took: u32, seconds: f64) -> Reading {
        let sent = watch.begun + Duration::from_secs(after.into());
        Reading { sent, received: sent + Duration::from_secs(took.into()), seconds }
    }

    #[test]
    fn only_a_jump_is_a_move() {
        let mut watch = ClockWatch::new(BOUND);
        let mut at = |after: u32, took: u32, seconds: f64| {
            let answered = reading(&watch, after, took, seconds);
            watch.read_at(answered, 1000.0 + f64::from(after + took))
        };
        assert_eq!(at(0, 0, 1000.0), ClockMove::None);
        assert_eq!(at(10, 0, 1010.5), ClockMove::None, "clocks drift");
        assert_eq!(at(20, 9, 1028.0), ClockMove::None, "a slow answer is no jump");
        assert_eq!(at(40, 9, 1041.0), ClockMove::None, "nor is an early one");
        assert_eq!(at(60, 0, 1091.0), ClockMove::Ahead(30.0), "at least so much");
        assert_eq!(at(70, 0, 1101.0), ClockMove::None, "one jump is one move");
        assert_eq!(at(80, 0, -2489.0), ClockMove::Back(3600.0));
        assert_eq!(at(90, 0, -2479.0), ClockMove::None);
    }

    #[test]
    fn a_process_that_begins_after_a_jump_notices_it() {
        for (seconds, expected) in
            [(1003.0, ClockMove::None), (1031.0, ClockMove::Ahead(31.0)), (940.0, ClockMove::Back(60.0))]
        {
            let mut watch = ClockWatch::new(BOUND);
            assert_eq!(watch.read_at(reading(&watch, 0, 0, seconds), 1000.0), expected);
        }
    }
}
