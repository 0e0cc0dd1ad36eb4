"""What the fuzzer cannot do by itself: app files are sent as the text that they are."""

import schemathesis


@schemathesis.serializer("application/toml")
def app_file(_, value):
    return value if isinstance(value, bytes) else str(value).encode()
