// swift-tools-version:5.9
import PackageDescription

// The native library. On Linux `cometql-sdk.pc`, which is found by PKG_CONFIG_PATH, tells where it lies.
#if os(Linux)
let native: Target = .systemLibrary(name: "CometQLFFI", pkgConfig: "cometql-sdk")
#else
let native: Target = .binaryTarget(name: "CometQLFFI", path: "CometQLFFI.xcframework")
#endif

// Built by `cargo xtask sdks --only swift`, which adds what is generated: Sources/CometQL/Generated, the header of CometQLFFI
// and lib; for Apple's systems by hand (docs-site/sdks/swift.md). (Version 5.9 of the tools means the language mode 5: that is
// what uniffi generates.)
let package = Package(
    name: "CometQL",
    platforms: [.macOS(.v10_15), .iOS(.v13)],
    products: [.library(name: "CometQL", targets: ["CometQL"])],
    targets: [
        native,
        .target(
            name: "CometQL",
            dependencies: ["CometQLFFI"],
            // Whom the system trusts is asked there.
            linkerSettings: [
                .linkedFramework("Security", .when(platforms: [.macOS, .iOS])),
                .linkedFramework("CoreFoundation", .when(platforms: [.macOS, .iOS])),
            ]
        ),
        .testTarget(name: "CometQLTests", dependencies: ["CometQL"]),
    ]
)
