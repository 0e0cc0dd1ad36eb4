DROP TABLE rate_windows;
DROP TABLE api_keys;
DROP TABLE user_slots;
DROP TABLE users;
DROP FUNCTION capi_now();
