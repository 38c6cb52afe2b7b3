"""Says hello, if its dependency was installed."""

import six

print("hello from", "six" if six.PY3 else "another age")
