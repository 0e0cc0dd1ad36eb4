//! What is searched for.

/// A search in terms that each provider translates into its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    pub text: String,
    /// 1 to [`super::MAX_RESULTS`].
    pub count: usize,
    pub region: Option<Region>,
    pub freshness: Option<Freshness>,
    pub safe: Option<SafeSearch>,
}

/// Language and country, like `de-AT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// ISO 639-1, lower case.
    pub language: String,
    /// ISO 3166-1, upper case.
    pub country: String,
}

/// How old a page may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    Day,
    Week,
    Month,
    Year,
}

/// The filter of adult content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SafeSearch {
    Off,
    Moderate,
    Strict,
}

impl SearchQuery {
    /// A search without filters.
    #[must_use]
    pub fn plain(text: &str, count: usize) -> Self {
        Self { text: text.to_owned(), count, region: None, freshness: None, safe: None }
    }
}

impl Region {
    /// Reads `de-AT`. Case makes no difference, and `_` counts as `-`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (language, country) = text.trim().split_once(['-', '_'])?;
        let is_code = |code: &str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        (is_code(language) && is_code(country))
            .then(|| Self { language: language.to_ascii_lowercase(), country: country.to_ascii_uppercase() })
    }
}

impl Freshness {
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    #[must_use]
    pub const fn days(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Year => 366,
        }
    }
}

impl SafeSearch {
    pub const ALL: [Self; 3] = [Self::Off, Self::Moderate, Self::Strict];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Moderate => "moderate",
            Self::Strict => "strict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_language_and_a_country() {
        let region = Region::parse(" PT_br ").unwrap();
        assert_eq!((region.language.as_str(), region.country.as_str()), ("pt", "BR"));
        for text in ["de", "german-de", "de-DEU", "d1-DE", "", "-", "é-DE"] {
            assert_eq!(Region::parse(text), None, "{text}");
        }
    }
}
