"""Asking a person for the passphrase, where the configuration refers to none and there is a terminal."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.cli.command import Invocation
from farshore.errors import ConfigInvalid

if TYPE_CHECKING:
    from farshore.config import Config

VARIABLE = "FARSHORE_PASSPHRASE"
HOW_TO_CONFIGURE = 'Set FARSHORE_PASSPHRASE, or write passphrase = { file = "..." } under [repository].'


def able_to_read(invocation: Invocation, config: Config) -> Config:
    """Return a configuration that can open the data, asking for the passphrase if there is no other way."""
    if config.repository.passphrase or config.repository.identity or not invocation.interactive:
        return config
    return with_passphrase(config, invocation.ask_secret("passphrase: "))


def able_to_write(invocation: Invocation, config: Config) -> Config:
    """Return a configuration that can add backups; a host's own credential asks for nothing."""
    credential = config.repository.credential
    if (credential and credential.exists()) or any(config.state_dir.glob("credentials/*/*")):
        return config
    return able_to_read(invocation, config)


def ask_new(invocation: Invocation, prompt: str = "new passphrase: ") -> bytes:
    """Ask twice for a passphrase that is about to be set.

    Raises:
        ConfigInvalid: There is nobody to ask, or the answers are empty or differ.
    """
    if not invocation.interactive:
        raise ConfigInvalid("there is no passphrase and no terminal to ask for one", HOW_TO_CONFIGURE)
    from farshore.crypto.passphrase_strength import LENGTH_MIN, is_short

    first = invocation.ask_secret(prompt)
    if not first.strip():
        raise ConfigInvalid("an empty passphrase protects nothing", "Choose a long one, several words, and keep it.")
    if is_short(first):
        raise ConfigInvalid(
            f"a passphrase of fewer than {LENGTH_MIN} characters is guessed by anybody who can read a replica",
            "Choose a long one, several words that nobody else puts together, and keep it.",
        )
    if invocation.ask_secret("the same again: ") != first:
        raise ConfigInvalid("the two passphrases differ", "Nothing was changed; run the command again.")
    return first


def with_passphrase(config: Config, passphrase: bytes) -> Config:
    """Return `config` with a passphrase that was typed: it lives in this process alone."""
    from farshore.config import Secret

    return replace(
        config,
        repository=replace(config.repository, passphrase=Secret("env", VARIABLE)),
        environment={**config.environment, VARIABLE: os.fsdecode(passphrase)},
    )
