"""What processes that ask AWS need, loaded: it takes a third of a second, once for all that are started later."""

from __future__ import annotations

from importlib.util import find_spec

import auditor.capture.aws
import auditor.capture.snapshot  # noqa: F401 (that of those above it is loaded is what counts)

if find_spec("boto3") is not None:
    import boto3  # noqa: F401
    import botocore.client
    import botocore.credentials  # noqa: F401
