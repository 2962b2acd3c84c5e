import CometQL
import XCTest

final class PackageTests: XCTestCase {
    func testTheLibraryHasTheVersionOfThePackage() {
        XCTAssertEqual(sdkVersion(), setting("COMETQL_VERSION"))
    }

    func testTheLicencesAreInThePackage() throws {
        let package = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardized
        for (name, expected) in [("LICENSE-MIT", "CometQL"), ("LICENSE-APACHE", "Apache License"), ("THIRD-PARTY.txt", "aws-lc")] {
            let text = try String(contentsOf: package.appendingPathComponent(name), encoding: .utf8)
            XCTAssertTrue(text.contains(expected), name)
        }
    }
}
