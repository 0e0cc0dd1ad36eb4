-- The searches that runs made with a provider of CAPI_SEARCH in a period: a day (2026-12-01) or a month
-- (2026-12), UTC. Only providers with a quota have rows.
CREATE TABLE search_usage (
    provider text NOT NULL,
    period   text NOT NULL,
    searches bigint NOT NULL,
    PRIMARY KEY (provider, period)
);
