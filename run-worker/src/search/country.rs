//! The names of countries that Tavily takes in place of codes.

const NAMES: &[(&str, &str)] = &[
    ("AE", "united arab emirates"),
    ("AR", "argentina"),
    ("AT", "austria"),
    ("AU", "australia"),
    ("BD", "bangladesh"),
    ("BE", "belgium"),
    ("BG", "bulgaria"),
    ("BR", "brazil"),
    ("CA", "canada"),
    ("CH", "switzerland"),
    ("CL", "chile"),
    ("CN", "china"),
    ("CO", "colombia"),
    ("CZ", "czech republic"),
    ("DE", "germany"),
    ("DK", "denmark"),
    ("EE", "estonia"),
    ("EG", "egypt"),
    ("ES", "spain"),
    ("FI", "finland"),
    ("FR", "france"),
    ("GB", "united kingdom"),
    ("GR", "greece"),
    ("HR", "croatia"),
    ("HU", "hungary"),
    ("ID", "indonesia"),
    ("IE", "ireland"),
    ("IL", "israel"),
    ("IN", "india"),
    ("IS", "iceland"),
    ("IT", "italy"),
    ("JP", "japan"),
    ("KE", "kenya"),
    ("KR", "south korea"),
    ("LT", "lithuania"),
    ("LU", "luxembourg"),
    ("LV", "latvia"),
    ("MA", "morocco"),
    ("MX", "mexico"),
    ("MY", "malaysia"),
    ("NG", "nigeria"),
    ("NL", "netherlands"),
    ("NO", "norway"),
    ("NZ", "new zealand"),
    ("PE", "peru"),
    ("PH", "philippines"),
    ("PK", "pakistan"),
    ("PL", "poland"),
    ("PT", "portugal"),
    ("RO", "romania"),
    ("RS", "serbia"),
    ("RU", "russia"),
    ("SA", "saudi arabia"),
    ("SE", "sweden"),
    ("SG", "singapore"),
    ("SI", "slovenia"),
    ("SK", "slovakia"),
    ("TH", "thailand"),
    ("TR", "turkey"),
    ("TW", "taiwan"),
    ("UA", "ukraine"),
    ("US", "united states"),
    ("VN", "vietnam"),
    ("ZA", "south africa"),
];

/// The name of a country by its code in upper case.
pub(super) fn tavily_name(code: &str) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(NAMES.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(tavily_name("KR"), Some("south korea"));
        assert_eq!(tavily_name("XX"), None);
    }
}
