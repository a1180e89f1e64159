"""The price table: read from TOML, put together from what ships and what an operator has, asked per replica."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import field, replace
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from farshore.errors import ConfigInvalid
from farshore.limits import GIB
from farshore.model import dataclass

_AMOUNTS = ("gb_month", "put_1000", "list_1000", "get_1000", "egress_gb", "retrieval_gb")
_COUNTS = ("days_min", "gb_bytes")
_DAYS_OF_MONTH = 30.0
_TABLE_KEYS = ("as_of", "currency", "providers", "price", "replicas")


@dataclass(frozen=True, slots=True)
class Price:
    """The prices of one provider in one class. Amounts are in the table's currency; see prices.toml for each."""

    provider: str
    storage_class: str
    regions: tuple[str, ...] = ()  # empty: every other region of the provider
    gb_month: float = 0.0
    put_1000: float = 0.0
    list_1000: float = 0.0
    get_1000: float = 0.0
    egress_gb: float = 0.0
    retrieval_gb: float = 0.0
    days_min: int = 0
    gb_bytes: int = GIB


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's name for people, its default class, and the page that its prices are from."""

    title: str = ""
    storage_class: str = "standard"
    source: str = ""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices, the strongest first. `replicas` are amounts (and a `class`) that hold for one replica by name."""

    as_of: date
    currency: str
    providers: Mapping[str, Provider] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()
    replicas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of one replica, and the assumptions behind it."""

    price: Price
    source: str = ""  # page of the provider's list prices, or empty
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EarlyPrice:
    """The price of what is deleted before the shortest time of its class is over: billed as if it had stayed."""

    days_min: int
    byte_day: float

    def of(self, size: int, age_days: float) -> float:
        """Return what an object of this age costs after it was deleted."""
        return size * self.byte_day * max(self.days_min - age_days, 0.0)


@dataclass(frozen=True, slots=True)
class EarlyPrices:
    """The classes of one replica that have a shortest time, and the class of what names none."""

    default: str = ""
    classes: Mapping[str, EarlyPrice] = field(default_factory=dict)
    currency: str = ""

    def of(self, storage_class: str, size: int, age_days: float) -> float:
        """Return what an object costs after it was deleted."""
        price = self.classes.get(_class(storage_class) or self.default)
        return price.of(size, age_days) if price is not None else 0.0


def shipped_prices() -> PriceTable:
    """Return the table that ships with Farshore."""
    return decode_prices(files("farshore.plan").joinpath("prices.toml").read_text(), "prices.toml")


def load_prices(path: Path | None) -> PriceTable:
    """Return the table that ships, with an operator's own before it.

    Raises:
        ConfigInvalid: The file cannot be read, or has a mistake.
    """
    shipped = shipped_prices()
    if path is None:
        return shipped
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the price table {path} cannot be read: {error}") from error
    own = decode_prices(text, str(path), base=shipped)
    return replace(own, providers={**shipped.providers, **own.providers}, prices=(*own.prices, *shipped.prices))


def decode_prices(text: str, where: str, base: PriceTable | None = None) -> PriceTable:
    """Return the table of a TOML text; `base` gives date and currency where the text has none.

    Raises:
        ConfigInvalid: It is no table of prices; the message names the key.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{where} is no TOML: {error}") from error
    _check_keys(where, values, _TABLE_KEYS)
    as_of = values.get("as_of", base.as_of if base else None)
    currency = values.get("currency", base.currency if base else None)
    if not isinstance(as_of, date) or not isinstance(currency, str):
        raise ConfigInvalid(f"{where} has no as_of (a date) or no currency (a text)", "Write as_of = 2026-01-31.")
    if base is not None and currency != base.currency and not all("gb_month" in row for row in values.get("price", [])):
        raise ConfigInvalid(f"{where} has rows without gb_month in another currency than {base.currency}")
    replicas = values.get("replicas", {})
    for name, amounts in replicas.items():
        _check_amounts(f"{where}: replicas.{name}", amounts, ("class", *_AMOUNTS, *_COUNTS))
    return PriceTable(
        as_of=as_of,
        currency=currency,
        providers={
            name: _provider(f"{where}: providers.{name}", one) for name, one in values.get("providers", {}).items()
        },
        prices=tuple(_price(f"{where}: price {n}", row) for n, row in enumerate(values.get("price", []), start=1)),
        replicas=replicas,
    )


def quote(table: PriceTable, replica: str, provider: str, region: str) -> Quote:
    """Return what a replica is priced at. A provider that no row knows costs nothing, and the quote says so.

    Raises:
        ConfigInvalid: The replica's class in the table is none that its provider has.
    """
    own = dict(table.replicas.get(replica, {}))
    about = table.providers.get(provider, Provider())
    given = str(own.pop("class", ""))
    storage_class = _class(given) or about.storage_class
    rows = [price for price in table.prices if price.provider == provider]
    of_class = [price for price in rows if price.storage_class == storage_class]
    if rows and not of_class:
        known = sorted({price.storage_class for price in rows})
        near = get_close_matches(storage_class, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise ConfigInvalid(
            f"the price table has no class {given or storage_class!r} of {provider} for the replica {replica}",
            f"{hint}It has {', '.join(known)}.",
        )
    notes: list[str] = []
    exact = next((price for price in of_class if region in price.regions), None)
    found = exact or next((price for price in of_class if not price.regions), None)
    if found is None:
        found = of_class[0] if of_class else Price(provider, storage_class)
        if of_class:
            notes.append(f"no price for {region or 'a place without a region'}: priced as {found.regions[0]}")
        elif not own:
            notes.append("no price is known, so it costs nothing here")
    elif exact is None:
        notes.append("the provider's usual price: none is known for this region alone")
    if own:
        found = replace(found, **own)
        notes.append("with prices of your own")
    return Quote(found, about.source, tuple(notes))


def early_prices(table: PriceTable, replica: str, provider: str, region: str) -> EarlyPrices:
    """Return what deleting early costs at a replica, in each class of its provider.

    Raises:
        ConfigInvalid: As `quote` says.
    """
    own = table.replicas.get(replica, {})
    named = {price.storage_class for price in table.prices if price.provider == provider}
    default = quote(table, replica, provider, region).price
    found = {default.storage_class: default}
    for one in named - {default.storage_class}:
        of_class = replace(table, replicas={**table.replicas, replica: {**own, "class": one}})
        found[one] = quote(of_class, replica, provider, region).price
    classes = {
        one: EarlyPrice(price.days_min, price.gb_month / price.gb_bytes / _DAYS_OF_MONTH)
        for one, price in found.items()
        if price.days_min
    }
    return EarlyPrices(default.storage_class, classes, table.currency)


def place_of(url: str, region: str, endpoint: str | None) -> tuple[str, str]:
    """Return provider and region of a replica: as configured, else from its URL, else `site`."""
    provider, _, place = region.partition(":")
    if provider and place:
        return provider, place
    scheme = url.partition("://")[0]
    known = {"s3": "aws", "gs": "gcp", "az": "azure"}
    return ("site" if endpoint else known.get(scheme, "site")), ""


def _price(where: str, row: Any) -> Price:
    _check_amounts(where, row, ("provider", "regions", "class", *_AMOUNTS, *_COUNTS))
    provider, regions, named = row.get("provider"), row.get("regions", []), row.get("class")
    if not isinstance(provider, str) or not isinstance(named, str):
        raise ConfigInvalid(f"{where} has no provider or no class", 'Write provider = "aws" and class = "standard".')
    if not isinstance(regions, list) or not all(isinstance(one, str) for one in regions):
        raise ConfigInvalid(f"{where}: regions must be an array of texts")
    amounts = {name: row[name] for name in (*_AMOUNTS, *_COUNTS) if name in row}
    return Price(provider, _class(named), tuple(regions), **amounts)


def _provider(where: str, values: Any) -> Provider:
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise ConfigInvalid(f"{where} must be a table of texts")
    _check_keys(where, values, ("title", "class", "source"))
    return Provider(values.get("title", ""), _class(values.get("class", "standard")), values.get("source", ""))


def _class(name: str) -> str:
    """Return a class in one form: S3 says STANDARD_IA where its pages say Standard-IA."""
    return name.lower().replace("_", "-")


def _check_amounts(where: str, row: Any, known: tuple[str, ...]) -> None:
    if not isinstance(row, dict):
        raise ConfigInvalid(f"{where} must be a table")
    _check_keys(where, row, known)
    for name in (*_AMOUNTS, *_COUNTS):
        value = row.get(name, 0)
        whole = name in _COUNTS
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value >= 0:
            raise ConfigInvalid(f"{where}: {name} must be a {'whole ' if whole else ''}number of at least 0")
    if row.get("gb_bytes", GIB) == 0:
        raise ConfigInvalid(f"{where}: gb_bytes must be above 0")


def _check_keys(where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise ConfigInvalid(f"{where}: unknown key {name}", f"{hint}Known are {', '.join(known)}.")
