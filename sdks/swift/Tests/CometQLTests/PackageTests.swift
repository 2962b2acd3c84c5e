import CometQL
import XCTest

final class PackageTests: XCTestCase {
    func testTheLibraryHasTheVersionOfThePackage() {
        XCTAssertEqual(sdkVersion(), setting("COMETQL_VERSION"))
    }
}
