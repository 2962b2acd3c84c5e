"""What is installed is what was built."""

import importlib.metadata
import os
import pathlib

import cometql


def test_library_and_package_have_the_version_of_the_workspace() -> None:
    assert cometql.__version__ == os.environ["COMETQL_VERSION"]
    assert importlib.metadata.version("cometql") == os.environ["COMETQL_VERSION"]


def test_the_wheel_was_installed_and_not_the_sources() -> None:
    assert "site-packages" in pathlib.Path(cometql.__file__).parts
    assert pathlib.Path(cometql.__file__).with_name("py.typed").is_file()
