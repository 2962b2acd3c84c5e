import CometQL
import XCTest

final class ListeningTests: XCTestCase {
    func testWhatIsPublishedComesInOrder() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let subscription = try await client.subscribe(channels: ["web_order"], listening: listening(server))
        defer { subscription.close() }
        let publications = (0..<500).map { NewPublication(channel: "web_order", message: "message \($0)", event: "e") }
        _ = try await client.publishMany(publications: publications)
        var seen: [String] = []
        for try await case let .publication(publication) in subscription {
            seen.append(publication.message)
            if seen.count == 500 { break }
        }
        XCTAssertEqual(seen, publications.map(\.message))
    }

    func testAPositionBringsWhatWasMissed() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let first = try await client.subscribe(channels: ["web_since"], listening: listening(server))
        try await client.publish("seen", to: "web_since")
        let position = try await publication(of: first)?.position
        first.close()
        try await client.publish("missed", to: "web_since")
        let since = ChannelSince(channel: "web_since", since: try XCTUnwrap(position))
        let second = try await client.subscribe(channels: [since], listening: listening(server))
        let missed = try await publication(of: second)
        XCTAssertEqual(missed?.message, "missed")
    }

    func testCloseEndsWhoWaits() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let subscription = try await client.subscribe(channels: ["web_close"], listening: listening(server))
        let waiting = Task { for try await _ in subscription {} }
        subscription.close()
        try await waiting.value
    }

    func testATaskThatIsCancelledStopsListening() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        let subscription = try await client.subscribe(channels: ["web_cancel"], listening: listening(server))
        let waiting = Task { for try await _ in subscription {} }
        waiting.cancel()
        try await waiting.value
        let after = try await subscription.next()
        XCTAssertNil(after)
    }

    func testABlockingListenerGetsTheSame() throws {
        let server = try Server()
        let client = try connectBlocking(server)
        defer { client.close() }
        let subscription = try client.subscribe(channels: ["web_blocking"], listening: listening(server))
        try client.publish("hello", to: "web_blocking")
        while let event = try subscription.next() {
            if case let .publication(publication) = event {
                XCTAssertEqual(publication.message, "hello")
                break
            }
        }
        subscription.close()
        XCTAssertNil(try subscription.next())
    }

    private func listening(_ server: Server) -> Listening { Listening(urls: ["ws://\(server.browsers)"]) }

    private func publication(of subscription: Subscription) async throws -> Received? {
        for try await case let .publication(publication) in subscription { return publication }
        return nil
    }
}
