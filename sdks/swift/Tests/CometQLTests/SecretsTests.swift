import CometQL
import XCTest

final class SecretsTests: XCTestCase {
    func testSecretsAreInNoText() {
        let key = TokenKey(key: "a secret key", id: "its name")
        let all: [Credentials] = [
            .token(token: "a secret token"), .hash(user: 7, hash: "a secret hash"), .key(key: key, claims: Claims(user: 7)),
        ]
        check(key)
        for credentials in all {
            check(credentials)
            check(Listening(urls: ["ws://a"], credentials: credentials))
        }
        XCTAssertTrue(shown(key).allSatisfy { $0.contains("its name") })
    }

    private func check(_ value: Any, line: UInt = #line) {
        for text in shown(value) { XCTAssertFalse(text.contains("secret"), text, line: line) }
    }

    /// As `print`, `debugPrint` and `dump` show it.
    private func shown(_ value: Any) -> [String] {
        var dumped = ""
        dump(value, to: &dumped)
        return [String(describing: value), String(reflecting: value), dumped]
    }
}
