import CometQL
import XCTest

/// What `docs-site/sdks/swift.md` shows.
final class PageTests: XCTestCase {
    private let key = Server.key
    private var said: [String] = []

    private func print(_ line: Any) { said.append("\(line)") }

    func testCallsOfEachKind() async throws {
        let server = try Server()
        let host = server.host
        let client = try await Client.connect(hosts: [host], user: "root", password: key)
        defer { client.close() }
        _ = try await client.publishMany(publications: [
            NewPublication(channel: "web_news", message: "first"),
            NewPublication(channel: "web_news", message: "second", event: "headline"),
        ])
        _ = try await client.sendToUser(message: NewPrivateMessage(user: 7, message: #"{"text":"only for you"}"#))
        let online: [UInt64] = try await client.online(users: [7, 8])
        let answer = try await client.query("SELECT name, users FROM pipes WHERE name = ?", "web_news")
        print("\(online) \(answer.rows.count)")
        XCTAssertEqual(said, ["[] 1"])
    }

    func testEventsOfASubscription() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let nodes = Listening(urls: ["ws://\(server.browsers)"])
        let subscription = try await client.subscribe(channels: ["web_orders"], listening: nodes)
        try await client.publish("one", to: "web_orders")
        for try await event in subscription {
            switch event {
            case let .publication(publication): print(publication.message)
            case let .gap(channel, _): print("load \(channel) anew")
            default: break
            }
            // The page has no end.
            if !said.isEmpty { subscription.close() }
        }
        XCTAssertEqual(said, ["one"])
    }

    func testErrorsAndBlockingCalls() throws {
        let server = try Server()
        let host = server.host
        let client = try BlockingClient.connect(hosts: [host], user: "root", password: key)
        defer { client.close() }
        do {
            try client.publish("hello", to: "a name with spaces")
        } catch let CometError.Refused(code, _, detail) {
            print("\(code): \(detail)")
        }
        XCTAssertEqual(said.first?.hasPrefix("12: "), true)
    }

    func testATokenForABrowser() throws {
        let key = TokenKey(key: "thirty-two characters of a secret")
        let token = try mintToken(key: key, claims: Claims(user: 7, lifeS: 600))
        XCTAssertEqual(token.split(separator: ".").count, 3)
    }
}
