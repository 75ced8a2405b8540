"""The whole of a local Forebay at one moment, as plain data: what `forebay top` shows."""

from typing import Any

from forebay_operator.domain.deployment import Deployment
from forebay_operator.domain.snapshot import GatewayDemand, Holding, HoldingPhase, Server, ServerPhase, Snapshot


def picture(snapshot: Snapshot) -> dict[str, Any]:
    """Models with their load, servers with what they hold."""
    return {
        "time": snapshot.now,
        "gateway": snapshot.demand is not None,
        "models": [_model(deployment, snapshot) for deployment in snapshot.deployments],
        "servers": [picture_of_server(server) for server in snapshot.servers],
    }


def holdings_of(deployment: Deployment, snapshot: Snapshot) -> list[tuple[Server, Holding]]:
    """Where a model is held, with its servers."""
    return [
        (server, holding)
        for server in snapshot.servers
        for holding in server.holdings
        if server.pool.namespace == deployment.address.namespace and holding.model == deployment.address.name
    ]


def _model(deployment: Deployment, snapshot: Snapshot) -> dict[str, Any]:
    status, everywhere = deployment.status, holdings_of(deployment, snapshot)
    held = [holding for server, holding in everywhere if server.phase is ServerPhase.READY]
    demand = (snapshot.demand or {}).get(deployment.address, GatewayDemand())
    decisions = status.scaling.decisions if status and status.scaling else ()
    return {
        "namespace": deployment.address.namespace,
        "name": deployment.address.name,
        "revision": status.revision if status else 0,
        "wanted": status.scaling.wanted if status and status.scaling else deployment.spec.min_replicas,
        "ready": sum(holding.phase is HoldingPhase.READY for holding in held),
        "loading": sum(holding.phase is HoldingPhase.LOADING for holding in held),
        "held": demand.held,
        "inFlight": demand.in_flight,
        "arrivals": demand.arrivals,
        "waiting": _total(holding.waiting for holding in held),
        "executing": _total(holding.executing for holding in held),
        "completed": _total(holding.completed for holding in held),
        "busySeconds": sum(holding.busy_seconds or 0.0 for holding in held),
        "summary": status.summary if status else "Not looked at yet.",
        "decision": decisions[-1].reason if decisions else "",
    }


def picture_of_server(server: Server) -> dict[str, Any]:
    """Its device, and what it holds."""
    return {
        "name": server.name,
        "namespace": server.pool.namespace,
        "device": server.pool.device.name,
        "kind": server.pool.device.kind,
        "phase": server.phase.value,
        "memoryBytes": server.pool.device.memory_bytes,
        "usedBytes": sum(holding.footprint_bytes or 0 for holding in server.holdings),
        "message": server.message,
        "holds": [
            {"model": held.model, "version": held.version, "phase": held.phase.value, "reason": held.reason}
            for held in server.holdings
        ],
    }


def _total(figures: Any) -> int:
    return sum(figure or 0 for figure in figures)
