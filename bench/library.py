"""The Python ``kubernetes`` dynamic client on 10,000 assets, with the kubeconfig that ``cipo kubeconfig`` prints: TLS, discovery, a token.

Beside :mod:`bench.limits`, whose client is bare HTTP: what a script of a user gets, the client's own work on each answer included.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from bench import machine, plane
from bench.limits import MANY, p95
from bench.place import CIPO, Postgres

V1 = "facilities.cipo/v1"
PAGE = 500


def script(postgres: Postgres, *, calls: int) -> dict[str, Any]:
    """Create 10,000 one by one, list them by 500, watch while they are edited, and two managers applying one field."""
    with plane.up(postgres) as own:
        return on_assets(connect(own), calls=calls) | {"load": machine.load()}


def connect(own: plane.Own) -> Any:
    """The client's handle on assets, by way of a kubeconfig on disk."""
    file = own.home / "kubeconfig"
    file.write_bytes(subprocess.run([CIPO, "kubeconfig"], env={**os.environ, **own.env}, check=True, capture_output=True).stdout)
    return connected(file)


def connected(kubeconfig: Path) -> Any:
    client = kubernetes.config.new_client_from_config(str(kubeconfig))
    return DynamicClient(client).resources.get(api_version=V1, kind="Asset")


def on_assets(assets: Any, *, calls: int) -> dict[str, Any]:
    creates = []
    for n in range(MANY):
        body = plane.asset(f"k-{n:05}", f"KSER{n:06}")
        start = time.perf_counter()
        assets.create(body=body)
        creates.append(time.perf_counter() - start)
    start = time.perf_counter()
    names, version = pages(assets)
    listed = time.perf_counter() - start
    if len([name for name in names if name.startswith("k-")]) != MANY or len(set(names)) != len(names):
        raise RuntimeError(f"the pages hold {len(names)} names, {len(set(names))} of them different")
    seen = watched(assets, version, calls)
    conflicts(assets)
    return {
        "library_creates_per_s": MANY / sum(creates),
        "library_create_p95_ms": p95(creates) * 1000,
        "library_list_ms": listed * 1000,
        "library_watch_p50_ms": statistics.median(seen) * 1000,
        "library_watch_p95_ms": p95(seen) * 1000,
    }


def pages(assets: Any) -> tuple[list[str], str]:
    """All names by 500, and the version that the list stands for."""
    names: list[str] = []
    after = None
    while True:
        page = assets.get(limit=PAGE, **({"_continue": after} if after else {}))
        names += [item.metadata.name for item in page["items"]]
        after = page.metadata["continue"]
        if not after:
            return names, page.metadata.resourceVersion


def watched(assets: Any, version: str, calls: int) -> list[float]:
    """Seconds from sending an edit to having its event; every edit has to come once, in the order it was written."""
    events: list[tuple[str, str, float]] = []

    def listen() -> None:
        for event in assets.watch(resource_version=version, timeout=120):
            if event["type"] == "ADDED":  # what the list showed may come again while an older transaction is open
                continue
            events.append((event["type"], event["object"].metadata.name, time.perf_counter()))
            if len(events) == calls:
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    sent = []
    for n in range(calls):
        sent.append((f"k-{n:05}", time.perf_counter()))
        assets.patch(name=f"k-{n:05}", body={"spec": {"costCentre": f"cc-{n}"}}, content_type="application/merge-patch+json")
        time.sleep(0.02)
    listener.join(60)
    if [(kind, name) for kind, name, _ in events] != [("MODIFIED", name) for name, _ in sent]:
        raise RuntimeError(f"the watcher saw {len(events)} of {calls} edits, or in another order")
    return [arrived - at for (_, at), (_, _, arrived) in zip(sent, events, strict=True)]


def conflicts(assets: Any) -> None:
    """Two managers and one field: the second is refused by name, forced it takes the field over, the first is refused in turn."""

    def apply(manager: str, **more: Any) -> Any:
        body = plane.asset("k-00000", "KSER000000")
        body["spec"]["costCentre"] = f"of {manager}"
        return assets.server_side_apply(body=body, name="k-00000", field_manager=manager, **more)

    apply("first", force_conflicts=True)
    refused("first", apply, "second")
    if apply("second", force_conflicts=True).spec.costCentre != "of second":
        raise RuntimeError("a forced apply did not take the field")
    refused("second", apply, "first")


def refused(holder: str, apply: Any, manager: str) -> None:
    try:
        apply(manager)
    except ApiException as error:
        causes = json.loads(error.body)["details"]["causes"]
        fields = [(cause["reason"], cause["field"]) for cause in causes]
        if error.status != 409 or fields != [("FieldManagerConflict", ".spec.costCentre")] or f'"{holder}"' not in causes[0]["message"]:
            raise RuntimeError(f"another refusal: {error.status} {error.body}") from error
    else:
        raise RuntimeError(f"{manager} applied a field that {holder} holds")
