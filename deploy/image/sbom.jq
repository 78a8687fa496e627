# From the tables of `sbom` to SPDX 2.3.
def rows: split("\n") | map(select(. != "") | split("\t"));
def id: "SPDXRef-" + gsub("[^A-Za-z0-9.-]"; "-");
def package($id; $name; $version; $licence; $purl):
    {
        SPDXID: $id, name: $name, versionInfo: $version, downloadLocation: "NOASSERTION", filesAnalyzed: false,
        licenseConcluded: "NOASSERTION", licenseDeclared: $licence, copyrightText: "NOASSERTION"
    } + if $purl then {
        externalRefs: [{referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: $purl}]
    } else {} end;
def relation($from; $type; $to):
    {spdxElementId: $from, relationshipType: $type, relatedSpdxElement: $to};

# Crates may write `/` for OR, which no SPDX expression has.
def licence: if . == "" then "NOASSERTION" else gsub(" */ *"; " OR ") end;
def ours: startswith("pullkeeper-");

($crates | rows) as $crates
| ($packages | rows) as $packages
| "SPDXRef-image" as $image
| {
    spdxVersion: "SPDX-2.3", dataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", name: "pullkeeper-\($version)",
    documentNamespace: "urn:uuid:\($uuid)",
    creationInfo: {created: ($epoch | todate), creators: ["Tool: pullkeeper-deploy-image-sbom-\($version)"]},
    documentDescribes: [$image],
    packages: (
        [package($image; "pullkeeper"; $version; "Apache-2.0"; null)
            + {primaryPackagePurpose: "CONTAINER", sourceInfo: "built from revision \($revision)"}]
        + [package("SPDXRef-rust-std"; "rust-std"; $rust; "MIT OR Apache-2.0"; null)]
        + ($crates | map(.[:4]) | unique | map(
            package("crate-\(.[0])-\(.[1])" | id; .[0]; .[1]; .[2] | licence;
                if .[0] | ours then null else "pkg:cargo/\(.[0])@\(.[1] | @uri)" end)
            + if .[3] == "" then {} else {homepage: .[3]} end))
        + ($packages | map(
            package("deb-\(.[0])" | id; .[0]; .[1]; "NOASSERTION";
                "pkg:deb/debian/\(.[0])@\(.[1] | @uri)?arch=\(.[2])&distro=\($codename)")))
    ),
    relationships: (
        [relation("SPDXRef-DOCUMENT"; "DESCRIBES"; $image), relation($image; "CONTAINS"; "SPDXRef-rust-std")]
        + ($crates | map(
            ("crate-\(.[0])-\(.[1])" | id) as $crate
            | if .[4] == "" then relation($image; "CONTAINS"; $crate)
              else relation("crate-\(.[4])" | gsub("@"; "-") | id; "DEPENDS_ON"; $crate) end) | unique)
        + ($packages | map(relation($image; "CONTAINS"; "deb-\(.[0])" | id)))
    )
}
