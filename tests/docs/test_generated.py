"""The pages that the code tells are what is in `docs/`."""

from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from livestream_run import reference
from livestream_server.errors import FailedPrecondition, every_error
from livestream_server.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_says_what_the_code_says(name: str) -> None:
    """An operator who trusts the page would set a variable that is gone, or miss one that is new: run `make docs`."""
    assert (DOCS / name).read_text(encoding="utf-8") == reference.PAGES[name]()


@pytest.mark.parametrize("settings", reference.every_settings_class(), ids=lambda each: each.__name__)
def test_every_setting_is_listed_and_explained(settings: type[BaseSettings]) -> None:
    """A setting that nobody can look up is set by nobody."""
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    sections = {"mongo", "agora", "jwt", "media"} if settings is Settings else set()
    for name, field in settings.model_fields.items():
        if name not in sections:
            assert f"| `{settings.model_config.get('env_prefix')}{name.upper()}` |" in page
            assert f"| {field.description} |" in page


def test_every_reason_is_listed_once() -> None:
    """Callers switch on reasons: one that is not on the page cannot be handled, two that are the same mislead."""
    reasons_table, _, _ = (DOCS / "errors.md").read_text(encoding="utf-8").partition("\n## ")
    reasons = [each.reason for each in every_error() if each.__module__.startswith("livestream_server")]
    for reason in reasons:
        assert reasons_table.count(f" | `{reason}` | ") == 1
    assert {"STREAM_NOT_JOINABLE", "IMAGE_QUEUE_FULL", "OVERLOADED"} <= set(reasons)


def test_a_new_class_of_settings_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings settings of its own must not need a line in the generator."""

    class ChatSettings(BaseSettings):
        """How loud the chat is."""

        model_config = SettingsConfigDict(env_prefix="CHAT_")

        volume: int = Field(3, ge=0, le=11, description="Loudness.")

    monkeypatch.setattr(ChatSettings, "__module__", "livestream_server.chat.settings")
    page = reference.configuration()
    assert "\n## `CHAT_`\n\nHow loud the chat is.\n" in page
    assert "| `CHAT_VOLUME` | whole number, from 0 to 11 | `3` | Loudness. |" in page


def test_a_new_error_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for errors, with the metadata that the class sends."""

    class ChatIsClosed(FailedPrecondition):
        """The chat is closed (FAILED_PRECONDITION, 409)."""

        reason = "CHAT_IS_CLOSED"

        def __init__(self, stream_id: str) -> None:
            super().__init__("the chat is closed", live_stream_id=stream_id)

    monkeypatch.setattr(ChatIsClosed, "__module__", "livestream_server.chat.model")
    page = reference.errors()
    assert "| 409 | `CHAT_IS_CLOSED` | FAILED_PRECONDITION | The chat is closed. | `live_stream_id` |  |\n" in page
