import CometQL
import XCTest

/// The death of a server in a loop. No call is under way when it dies: so each message must be on one server, once.
final class FailOverTests: XCTestCase {
    func testALoopSurvivesTheDeathOfAServer() async throws {
        let (first, second) = (try Server(), try Server())
        try await keepHistory(first, second)
        let client = try await connect(first, second)
        defer { client.close() }
        for number in 1...200 {
            if number == 101 { first.kill() }
            try await client.publish("message \(number)", to: "web_news")
        }
        let online = try await client.online(users: [1, 2, 3])
        XCTAssertEqual(online, [])
        try first.restart()
        let (onFirst, onSecond) = (try await kept(first), try await kept(second))
        XCTAssertEqual(onFirst, messages(1...100))
        XCTAssertEqual(onSecond, messages(101...200))
    }

    func testABlockingLoopSurvivesTheDeathOfBothOneAfterTheOther() async throws {
        let (first, second) = (try Server(), try Server())
        try await keepHistory(first, second)
        try publishWhileBothDie(first, second)
        try second.restart()
        let (onFirst, onSecond) = (try await kept(first), try await kept(second))
        XCTAssertEqual(onFirst, messages(1...100) + messages(201...300))
        XCTAssertEqual(onSecond, messages(101...200))
    }

    private func publishWhileBothDie(_ first: Server, _ second: Server) throws {
        let client = try connectBlocking(first, second)
        defer { client.close() }
        for number in 1...300 {
            if number == 101 { first.kill() }
            if number == 201 {
                try first.restart()
                second.kill()
            }
            try client.publish("message \(number)", to: "web_news")
        }
    }

    private func messages(_ numbers: ClosedRange<Int>) -> [String] { numbers.map { "message \($0)" } }

    private func keepHistory(_ servers: Server...) async throws {
        for server in servers {
            let client = try await connect(server)
            try await client.setChannelSettings(channel: "web_news", settings: ChannelSettings(length: 1000))
            await client.disconnect()
        }
    }

    /// What a server has of the channel on its disk.
    private func kept(_ server: Server) async throws -> [String] {
        let client = try await connect(server)
        defer { client.close() }
        return try await client.history(channel: "web_news", page: HistoryPage(limit: 1000)).publications.map(\.message)
    }
}
