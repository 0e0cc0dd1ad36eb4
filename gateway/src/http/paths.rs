//! Requests for a path that does not exist: the path that the client probably meant, and whether a program or
//! a browser asks.

use actix_web::HttpRequest;
use gateway_domain::suggestion;

use super::endpoint::Endpoint;
use super::extract::names_any;

/// Segments that a path has at most.
const MAX_SEGMENTS: usize = 8;

/// The paths of a route table.
#[derive(Debug, Clone)]
pub struct Paths(Vec<&'static str>);

impl Paths {
    /// Those of the API come first: they win against an equally likely page.
    #[must_use]
    pub fn of(endpoints: &[Endpoint]) -> Self {
        let (api, others): (Vec<_>, Vec<_>) = endpoints.iter().partition(|endpoint| endpoint.takes_key());
        Self(api.into_iter().chain(others).map(|endpoint| endpoint.path).collect())
    }

    /// The existing path that the client probably meant.
    #[must_use]
    pub fn likely(&self, given: &str) -> Option<String> {
        let segments: Vec<_> = given.split('/').filter(|segment| !segment.is_empty()).collect();
        let (in_api, rest) = without_base(&segments);
        if rest.is_empty() || segments.len() > MAX_SEGMENTS {
            return None;
        }
        let candidates = self.0.iter().filter_map(|path| {
            let known: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
            let (known_in_api, known) = without_base(&known);
            (!in_api || known_in_api).then(|| Some((difference(rest, known)?, *path)))?
        });
        let (_, path) = candidates.min_by_key(|(difference, _)| *difference)?;
        let path = filled(path, rest);
        (path != given).then_some(path)
    }
}

/// The segments without `/api` and the version, and whether one of them was there.
fn without_base<'s>(segments: &'s [&'s str]) -> (bool, &'s [&'s str]) {
    let is_version = |segment: &&str| {
        let digits = segment.strip_prefix(['v', 'V']).unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let is_base = |segment: &&str| segment.eq_ignore_ascii_case("api") || is_version(segment);
    let base = segments.iter().take(2).take_while(|segment| is_base(segment)).count();
    (base > 0, &segments[base..])
}

/// The number of wrong letters, or `None` if the paths differ.
fn difference(given: &[&str], known: &[&str]) -> Option<usize> {
    if given.len() != known.len() {
        return None;
    }
    let of_segment = |(given, known): (&&str, &&str)| {
        if known.starts_with('{') { Some(0) } else { suggestion::difference(given, known) }
    };
    given.iter().zip(known).map(of_segment).sum()
}

/// The path with the client's ids.
fn filled(path: &str, given: &[&str]) -> String {
    let safe = |id: &&&str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let known: Vec<_> = path.split('/').collect();
    let first = known.len() - given.len();
    let segment = |(at, segment): (usize, &&str)| match given.get(at.wrapping_sub(first)).filter(safe) {
        Some(id) if segment.starts_with('{') => (*id).to_owned(),
        _ => (*segment).to_owned(),
    };
    known.iter().enumerate().map(segment).collect::<Vec<_>>().join("/")
}

/// Whether the client wants a page: it names HTML in Accept. Programs name no type, or another one.
#[must_use]
pub fn wants_page(request: &HttpRequest) -> bool {
    names_any(request, &["text/html", "application/xhtml+xml"])
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::ACCEPT;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_path_that_was_meant_is_found() {
        let paths = Paths(vec![
            "/api/v1/runs",
            "/api/v1/runs/{id}",
            "/api/v1/runs/{id}/cancel",
            "/api/v1/apps/{appId}/runs",
            "/api/v1/me",
            "/api/agentapps",
            "/docs",
            "/apps",
            "/apps/{appId}/run",
        ]);
        for (given, meant) in [
            ("//api/v1/runs", Some("/api/v1/runs")),
            ("/v1/runs", Some("/api/v1/runs")),
            ("/API/v1/runs", Some("/api/v1/runs")),
            ("/api/V1/Runs", Some("/api/v1/runs")),
            ("/api/v1/runs/", Some("/api/v1/runs")),
            ("/api/v2/runs", Some("/api/v1/runs")),
            ("/api/runs", Some("/api/v1/runs")),
            ("/runs", Some("/api/v1/runs")),
            ("/api/v1/run", Some("/api/v1/runs")),
            ("/api/v1/runs/7-a/cancle", Some("/api/v1/runs/7-a/cancel")),
            ("/v1//runs/7-a/", Some("/api/v1/runs/7-a")),
            ("/api/runs/%22", Some("/api/v1/runs/{id}")),
            ("/api/v1/apps/7/run", Some("/api/v1/apps/7/runs")),
            ("/v1/agentapps", Some("/api/agentapps")),
            ("/Docs/", Some("/docs")),
            ("/app", Some("/apps")),
            ("/api/v1", None),
            ("/", None),
            ("/api/v1/wp-admin", None),
            ("/api/v1/runs/7/8/9", None),
        ] {
            assert_eq!(paths.likely(given).as_deref(), meant, "{given}");
        }
        assert_eq!(paths.likely(&"/a".repeat(10_000)), None);
    }

    #[test]
    fn browsers_want_pages() {
        let wants = |accept: &str| {
            wants_page(&TestRequest::default().insert_header((ACCEPT, accept)).to_http_request())
        };
        assert!(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wants("application/json, TEXT/HTML;q=0.5"));
        assert!(!wants("*/*") && !wants("application/json") && !wants("text/html;q=0"));
        assert!(!wants_page(&TestRequest::default().to_http_request()));
    }
}
