import CometQL
import XCTest

/// Memory grows in some rounds: buffers find their size, threads come. What a call leaves behind grows in each round.
final class MemoryTests: XCTestCase {
    private let rounds = 6
    private let calls = 2_000
    /// Less than any object of a call would be.
    private let mostBytes = 24

    func testPublicationsLeaveNothingBehind() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        var grown: [Int] = []
        for _ in 1...rounds {
            let before = try residentKilobytes()
            for number in 1...calls { try await client.publish("message \(number)", to: "web_news") }
            grown.append(try residentKilobytes() - before)
        }
        check(grown)
    }

    func testPublicationsOfABlockingClientLeaveNothingBehind() throws {
        let server = try Server()
        let client = try connectBlocking(server)
        defer { client.close() }
        var grown: [Int] = []
        for _ in 1...rounds {
            let before = try residentKilobytes()
            for number in 1...calls { try client.publish("message \(number)", to: "web_news") }
            grown.append(try residentKilobytes() - before)
        }
        check(grown)
    }

    private func check(_ grown: [Int]) {
        XCTAssertLessThan(grown.min()! * 1024 / calls, mostBytes, "\(grown) kB in rounds of \(calls) calls")
    }

    private func residentKilobytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return Int(try XCTUnwrap(line).filter(\.isNumber)) ?? 0
    }
}
