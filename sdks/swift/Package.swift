// swift-tools-version:5.9
import PackageDescription

// Built by `cargo xtask sdks --only swift`, which adds what is generated: Sources/CometQL/Generated, the header of CometQLFFI
// and lib. (Version 5.9 of the tools means the language mode 5: that is what uniffi generates.)
let package = Package(
    name: "CometQL",
    products: [.library(name: "CometQL", targets: ["CometQL"])],
    targets: [
        // The native library. `cometql-sdk.pc`, which is found by PKG_CONFIG_PATH, tells where it lies.
        .systemLibrary(name: "CometQLFFI", pkgConfig: "cometql-sdk"),
        .target(name: "CometQL", dependencies: ["CometQLFFI"]),
        .testTarget(name: "CometQLTests", dependencies: ["CometQL"]),
    ]
)
