"""Certificates that AWS keeps: Certificate Manager (acm, version 2015-12-08) and IAM server certificates."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    YamlNode,
    is_hostname,
    normal_name,
)
from collectors.aws.common import Answer, arn_ref, is_answer, known, maps, moment, parsed, scalars, text, value


class AwsCertificatesCollector(Collector):
    """Certificates by their ARN, how they are renewed, and what serves them.

    The names stand on the certificate and not on its lineage: a certificate of AWS renews no file on a server that has
    one for the same names.

    Reads
    -----
    `acm.DescribeCertificate` (and `acm.ListCertificates`), `iam.ListServerCertificates` and
    `iam.GetServerCertificate` under `aws/<account>/<region>/`.

    Yields
    ------
    A certificate with names, validity, issuer, status and renewal eligibility; for one that AWS issued the lineage
    `acm:<arn>`, which Certificate Manager renews for as long as the validation records stand; what it is in use by.

    Can't see
    ---------
    Who imports a certificate into ACM or IAM: that is a script or a hook somewhere else. An imported one has no
    lineage, and its certificate ends at `not_after` unless that runs.
    """

    name: ClassVar[str] = "aws_certificates"
    title: ClassVar[str] = "Certificates of ACM and IAM"
    area: ClassVar[Area] = Area.RENEWAL
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.SERVES})

    def recognizes(self, path: str, head: bytes) -> bool:
        """An answer of one of the four operations, by its path."""
        return is_answer(path, _PARSERS)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Certificates, lineages and what serves them."""
        return parsed(document, _PARSERS)


def _described(answer: Answer) -> Iterator[Parsed]:
    certificate = answer.body.get("Certificate")
    arn = value(certificate, "CertificateArn")
    ref = arn_ref(arn.scalar) if arn is not None else None
    if certificate is None or arn is None or ref is None or ref.kind is not Kind.CERTIFICATE:
        return
    written = [certificate.text("DomainName"), *(one.scalar for one in scalars(certificate, "SubjectAlternativeNames"))]
    names = tuple(sorted({normal_name(name) for name in written if name}))
    kind, eligibility = certificate.text("Type"), certificate.text("RenewalEligibility")
    attributes = known(
        program="ACM",
        subject=normal_name(certificate.text("DomainName")),
        sans=names,
        not_before=moment(certificate.text("NotBefore")),
        not_after=moment(certificate.text("NotAfter")),
        issuer=certificate.text("Issuer"),
        serial=certificate.text("Serial"),
        type=kind,
        status=certificate.text("Status"),
        renewal_eligibility=eligibility,
        renewal_status=text(certificate, "RenewalSummary", "RenewalStatus"),
    )
    where = answer.where(arn)
    yield Entity(ref, where, attributes)
    for user in scalars(certificate, "InUseBy"):
        if (service := arn_ref(user.scalar)) is not None:
            yield Dependency(service, ref, Relation.SERVES, answer.where(user))
    if kind in ("AMAZON_ISSUED", "PRIVATE"):
        yield from _lineage(answer, certificate, arn, ref, eligibility)


def _lineage(answer: Answer, certificate: YamlNode, arn: YamlNode, ref: Ref, eligibility: str) -> Iterator[Parsed]:
    lineage, where = Ref(Kind.LINEAGE, f"acm:{arn.scalar}"), answer.where(arn)
    known_of: dict[str, Attribute] = known(program="ACM", renewal_eligibility=eligibility)
    yield Entity(lineage, where, known_of)
    yield Dependency(ref, lineage, Relation.CERTIFIED_BY, where, group="lineages")
    yield Dependency(lineage, Ref(Kind.CLIENT, "acm"), Relation.RENEWED_BY, where)
    seen: set[str] = set()
    for option in maps(certificate, "DomainValidationOptions"):
        record = value(option, "ResourceRecord", "Name")
        if record is not None and (name := normal_name(record.scalar)) not in seen:
            seen.add(name)
            # The record must stand and lead to Amazon: nothing is written to it at a renewal.
            provider = Ref(Kind.NAME, name)
            yield Dependency(lineage, provider, Relation.VALIDATED_THROUGH, answer.where(record), Need.READ)
        redirect = value(option, "HttpRedirect", "RedirectFrom")
        if redirect is not None and (name := normal_name(redirect.scalar.split("/", 1)[0])) not in seen:
            seen.add(name)
            provider = Ref(Kind.NAME, name)
            yield Dependency(lineage, provider, Relation.VALIDATED_THROUGH, answer.where(redirect), Need.READ)


def _listed(answer: Answer) -> Iterator[Parsed]:
    for summary in maps(answer.body, "CertificateSummaryList"):
        arn = value(summary, "CertificateArn")
        ref = arn_ref(arn.scalar) if arn is not None else None
        if arn is not None and ref is not None:
            yield Entity(ref, answer.where(arn), known(program="ACM", not_after=moment(summary.text("NotAfter"))))


def _server_certificates(answer: Answer) -> Iterator[Parsed]:
    yield from _in_iam(answer, *maps(answer.body, "ServerCertificateMetadataList"))


def _server_certificate(answer: Answer) -> Iterator[Parsed]:
    """One certificate of IAM with its text, which says for which names it is."""
    certificate = answer.body.get("ServerCertificate")
    body = value(certificate, "CertificateBody")
    arn = value(certificate, "ServerCertificateMetadata", "Arn")
    ref = arn_ref(arn.scalar) if arn is not None else None
    yield from _in_iam(answer, *maps(certificate, "ServerCertificateMetadata"))
    if arn is None or body is None or ref is None:
        return
    said = _said(body.scalar)
    if said:
        yield Entity(ref, answer.where(arn), said)
    else:
        yield Malformed(answer.where(arn), "the certificate can't be read", "for which names it is, is not known")


@lru_cache(maxsize=1024)
def _said(pem: str) -> Mapping[str, Attribute]:
    """Names and validity of a certificate; nothing of what is none."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    # The library raises many kinds for hostile input.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode("ascii", "replace"))
            before, after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = extension.value.get_values_for_type(x509.DNSName)
        except x509.ExtensionNotFound:
            common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            names = [str(one.value) for one in common if is_hostname(str(one.value)) and "." in str(one.value)]
        except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError, x509.DuplicateExtension):
            return {}
    sans = tuple(sorted({normal_name(name) for name in names}))
    return known(sans=sans, not_before=before.isoformat(), not_after=after.isoformat())


def _in_iam(answer: Answer, *listed: YamlNode) -> Iterator[Parsed]:
    for metadata in listed:
        arn = value(metadata, "Arn")
        ref = arn_ref(arn.scalar) if arn is not None else None
        if arn is not None and ref is not None:
            attributes = known(
                program="IAM",
                name=metadata.text("ServerCertificateName"),
                not_after=moment(metadata.text("Expiration")),
            )
            yield Entity(ref, answer.where(arn), attributes)


_PARSERS: Final = {
    "acm.DescribeCertificate": _described,
    "acm.ListCertificates": _listed,
    "iam.ListServerCertificates": _server_certificates,
    "iam.GetServerCertificate": _server_certificate,
}
