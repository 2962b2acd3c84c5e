import CometQL
import XCTest

final class FailOverTests: XCTestCase {
    func testALoopSurvivesTheDeathOfAServer() async throws {
        let (first, second) = (try Server(), try Server())
        let client = try await connect(first, second)
        defer { client.close() }
        for number in 1...200 {
            if number == 100 { first.kill() }
            try await client.publish("message \(number)", to: "web_news")
        }
        let online = try await client.online(users: [1, 2, 3])
        XCTAssertEqual(online, [])
    }

    func testABlockingLoopSurvivesTheDeathOfBothOneAfterTheOther() throws {
        let (first, second) = (try Server(), try Server())
        let client = try connectBlocking(first, second)
        defer { client.close() }
        for number in 1...300 {
            if number == 100 { first.kill() }
            if number == 200 {
                try first.restart()
                second.kill()
            }
            try client.publish("message \(number)", to: "web_news")
        }
    }
}
