import CometQL
import XCTest

final class MemoryTests: XCTestCase {
    /// A kilobyte that is lost with each publication would be more.
    private let mostKilobytes = 8_000

    func testTenThousandPublicationsLeaveNothingBehind() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        for _ in 1...3_000 { try await client.publish("to warm up", to: "web_news") }
        let before = try residentKilobytes()
        for number in 1...10_000 { try await client.publish("message \(number)", to: "web_news") }
        let grown = try residentKilobytes() - before
        XCTAssertLessThan(grown, mostKilobytes)
    }

    private func residentKilobytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return Int(try XCTUnwrap(line).filter(\.isNumber)) ?? 0
    }
}
