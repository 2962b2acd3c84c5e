import CometQL
import XCTest

final class ValuesTests: XCTestCase {
    func testValuesComeBackAsTheyWereBound() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let answer = try await client.query("SELECT ? AS nothing, ?, ?, ?, ?", nil, true, -7, 0.5, "it's \u{17e}lu\u{165}")
        XCTAssertEqual(answer.columns.first, "nothing")
        XCTAssertEqual(answer.rows, [[nil, 1, -7, 0.5, "it's \u{17e}lu\u{165}"]])
        XCTAssertEqual(answer.rows[0][2].asInt, -7)
        XCTAssertEqual(answer.rows[0][3].asDouble, 0.5)
        XCTAssertEqual(answer.rows[0][4].asText, "it's \u{17e}lu\u{165}")
        let bytes = Data([0, 255, 39])
        let blob = try await client.query("SELECT ?", .blob(value: bytes))
        XCTAssertEqual(blob.rows[0][0].asData, bytes)
    }
}
