DROP TABLE search_usage;
