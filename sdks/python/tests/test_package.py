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


def test_the_wheel_has_its_licences() -> None:
    files = importlib.metadata.files("cometql") or []
    licences = {file.name: file.read_text() for file in files if "licenses" in file.parts}
    assert "Apache License" in licences["LICENSE-APACHE"] and "Permission is hereby granted" in licences["LICENSE-MIT"]
    # Those of what is linked into the library.
    assert "tokio" in licences["THIRD-PARTY.txt"]
