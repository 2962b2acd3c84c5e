"""Client of CometQL, the realtime server that speaks SQL."""

from cometql._native import cometql_sdk as _sdk

__version__: str = _sdk.sdk_version()
"""The version of this package, of its library and of the server it was made with."""
