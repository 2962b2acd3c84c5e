// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "publish",
    dependencies: [.package(name: "CometQL", path: "../..")],
    targets: [.executableTarget(name: "publish", dependencies: ["CometQL"])]
)
