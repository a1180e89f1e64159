"""Prices of reading from each replica, by where this host runs, and of deleting early."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from farshore.config import Config, ReplicaConfig
from farshore.errors import ConfigInvalid
from farshore.plan.prices import EarlyPrices, PriceTable, early_prices, load_prices, place_of, quote, shipped_prices
from farshore.replicas.reading_order import ReadPrice

_REQUESTS = 1000  # the table's unit


def read_prices(config: Config) -> Mapping[str, ReadPrice]:
    """Return the price of each replica of the configuration; free where the table knows none.

    Within this host's own region nothing is billed for egress. A price table of one's own that cannot be read is done
    without: `farshore cost` says what is wrong with it, and no restore waits for that.
    """
    places = {name: place_of(one.url, one.region, one.endpoint) for name, one in config.replicas.items()}
    if len(places) == 1 or (config.cost.prices is None and all(place[0] == "site" for place in places.values())):
        return {}
    table = _table_of(config)
    prices: dict[str, ReadPrice] = {}
    for name, one in config.replicas.items():
        try:
            price = quote(_of_class(table, one), name, *places[name]).price
        except ConfigInvalid:
            continue
        near = bool(one.region) and one.region == config.reads.host_region
        per_gb = price.retrieval_gb + (0.0 if near else price.egress_gb)
        prices[name] = ReadPrice(per_gb / price.gb_bytes, price.get_1000 / _REQUESTS)
    return prices


def deletion_prices(config: Config) -> Mapping[str, EarlyPrices]:
    """Return what deleting early costs at each replica of the configuration; a replica without a price is left out.

    As for reads, a price table of one's own that cannot be read is done without: a full disk waits for no price.
    """
    table, prices = _table_of(config), {}
    for name, one in config.replicas.items():
        with suppress(ConfigInvalid):
            prices[name] = early_prices(_of_class(table, one), name, *place_of(one.url, one.region, one.endpoint))
    return prices


def _table_of(config: Config) -> PriceTable:
    try:
        return load_prices(config.cost.prices)
    except ConfigInvalid:
        return shipped_prices()


def _of_class(table: PriceTable, one: ReplicaConfig) -> PriceTable:
    """Return the table with a replica's packs in the class that the configuration puts them in: reading is of packs."""
    own = table.replicas.get(one.name, {})
    if not one.storage_class or "class" in own:
        return table
    return replace(table, replicas={**table.replicas, one.name: {**own, "class": one.storage_class}})
