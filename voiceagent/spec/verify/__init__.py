"""Verify: what can be known about a flow before anybody calls. One file for each family of rules.

names           unknown-phase, duplicate-phase, missing-prompt, unknown-tool, duplicate-tool, unknown-fact,
                unknown-locale
tools           no-description, untyped-parameter, no-confirmation, bad-egress, fact-not-nullable
secrets         secret-exposed, secret-misplaced
guided          unknown-tool, unknown-slot, missing-slot, no-examples
triggers        dead-trigger, limit-ignored, no-description
machines        dead-trigger, talks-over-greeting; warning: no-way-back
ends            unreachable, dead-end, no-end, endless-loop, no-human
guards          dead-guard, shadowed-guard; warnings: unknown-guard (it is Python), not-decided (it compares too much)
grants          grant-never, grant-missing, fact-never-set; warning: fact-missing
hints           unknown-fact, unknown-tool
prefetches      prefetch-write, prefetch-secret, prefetch-order, prefetch-argument, prefetch-early
templates       static-placeholder, bad-template, unknown-placeholder, placeholder-never-set, placeholder-missing
silence         silence-too-long
tokens          over-budget
languages       language-not-spoken, where it is known which engines are to hear and speak

Some mistakes cannot even be built; the loader reports those, with their own code or as `unloadable`.
"""

from __future__ import annotations

from voiceagent.spec.flow import Flow
from voiceagent.spec.verify.ends import ends, people, reachability, rounds
from voiceagent.spec.verify.finding import Finding
from voiceagent.spec.verify.grants import bound_facts, grants
from voiceagent.spec.verify.guards import guards
from voiceagent.spec.verify.guided import guided
from voiceagent.spec.verify.hints import hints
from voiceagent.spec.verify.machines import machines
from voiceagent.spec.verify.names import fact_names, references
from voiceagent.spec.verify.prefetches import prefetches
from voiceagent.spec.verify.silence import silences
from voiceagent.spec.verify.templates import templates
from voiceagent.spec.verify.tokens import budgets
from voiceagent.spec.verify.tools import failed_attempts, secrets, tools
from voiceagent.spec.verify.triggers import triggers
from voiceagent.spec.ways import Ways

__all__ = ["Finding", "verify"]

_RULES = (
    tools,
    failed_attempts,
    secrets,
    guided,
    triggers,
    machines,
    reachability,
    ends,
    rounds,
    people,
    guards,
    grants,
    bound_facts,
    prefetches,
    templates,
    silences,
    budgets,
)


def verify(flow: Flow) -> list[Finding]:
    """Return everything that is wrong with a flow. No finding of severity `error`: it may be called.

    Later rules assume that names lead somewhere, so they are looked at only if the references hold.
    """
    findings = [*references(flow), *fact_names(flow), *hints(flow)]
    if not findings:
        ways = Ways(flow)
        findings = [finding for rule in _RULES for finding in rule(flow, ways)]
    # A transition or tool of every phase is looked at once per phase, and told once.
    return list({(found.code, found.message, found.source): found for found in reversed(findings)}.values())[::-1]
