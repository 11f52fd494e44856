"""What an inventory declares of procedures, keys and authorities, as rules see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from auditor.inventory.facts import at_line, references
from auditor.recovery import Contact, KeyStore, OpenHours, Procedure, ProcedureStep, Recovery

if TYPE_CHECKING:
    from datetime import date

    from auditor.inventory import schema
    from auditor.inventory.values import Hours


def declared_recovery(inventory: schema.Inventory, path: str) -> Recovery:
    """Procedures with their steps, key stores, and the people of authorities."""
    return Recovery(
        procedures=tuple(_procedure(inventory, one, path) for one in inventory.procedures),
        keys=tuple(_key(inventory, one, path) for one in inventory.keys),
        authorities=tuple(
            Contact(
                one.name,
                _hours(one.hours, one.time_zone, one.holidays),
                one.emergency or "",
                at_line(inventory, one.line_of("hours"), path),
            )
            for one in inventory.authorities
        ),
    )


def _procedure(inventory: schema.Inventory, one: schema.Procedure, path: str) -> Procedure:
    people: dict[str, Contact] = {}
    for approver in one.approvers:
        where = at_line(inventory, approver.line, path)
        contact = Contact(
            approver.name, _hours(approver.hours, approver.time_zone, approver.holidays), provenance=where
        )
        people.setdefault(approver.name, contact)
        if approver.role:
            people.setdefault(approver.role, contact)
    document = one.document
    return Procedure(
        name=one.name,
        kind=one.kind,
        provenance=at_line(inventory, one.line, path),
        steps=tuple(_step(inventory, step, people, path) for step in one.steps),
        certificate=one.certificate or "",
        pre_authorized=one.pre_authorized,
        last_rehearsed=one.last_rehearsed,
        rehearsal=at_line(inventory, one.line_of("last_rehearsed"), path),
        document=document.url if document else "",
        last_reviewed=document.last_reviewed if document else None,
        review=at_line(inventory, document.line_of("last_reviewed"), path) if document else None,
    )


def _step(inventory: schema.Inventory, one: schema.Step, people: dict[str, Contact], path: str) -> ProcedureStep:
    return ProcedureStep(
        name=one.name,
        seconds=one.duration,
        provenance=at_line(inventory, one.line, path),
        approvals=tuple(people.get(name, Contact(name)) for name in one.approvals),
        parallel=one.mode == "parallel",
        hours=_hours(one.hours, one.time_zone, one.holidays),
        key=one.key_store or "",
        site=one.site or "",
        runs_on=tuple(ref.text for ref in references(one.runs_on or "")),
        logs_in_through=tuple(ref.text for ref in references(one.logs_in_through or "")),
        places=tuple(
            at_line(inventory, one.line_of(key), path) for key in ("runs_on", "logs_in_through") if key in one.key_lines
        ),
    )


def _key(inventory: schema.Inventory, one: schema.Key, path: str) -> KeyStore:
    return KeyStore(
        name=one.name,
        store=one.store,
        provenance=at_line(inventory, one.line, path),
        hosts=tuple(ref.text for ref in references(one.host or "")),
        site=one.site or "",
        backup_hosts=tuple(ref.text for ref in references(one.backup_host or "")),
        backup_site=one.backup_site or "",
        escrow=one.escrow.agent if one.escrow else "",
        escrow_seconds=one.escrow.duration if one.escrow else None,
        custodians=one.custodians,
    )


def _hours(hours: Hours | None, zone: str | None, holidays: Iterable[date]) -> OpenHours | None:
    if hours is None:
        return None
    return OpenHours(hours.text, hours.windows, zone or "UTC", frozenset(holidays))
