import CometQL
import XCTest

/// The behavioural suite that all languages run: `sdks/suite.json`, told in `sdks/README.md`.
final class SuiteTests: XCTestCase {
    func testTheSuiteWithCallsThatAreAwaited() async throws { try await run(awaited) }

    func testTheSuiteWithCallsThatBlock() async throws { try await run(blocking) }

    private func run(_ connect: (LogIn) async throws -> Calls) async throws {
        let server = try Server()
        let suite = try Data(contentsOf: URL(fileURLWithPath: setting("COMETQL_SUITE")))
        let lists = try JSONDecoder().decode(JSON.self, from: suite)
        for list in ["cases", "listening"] {
            let cases = try XCTUnwrap(lists[list]?.array)
            XCTAssertFalse(cases.isEmpty)
            for one in cases { try await run(one, server, connect) }
        }
    }

    private func run(_ one: JSON, _ server: Server, _ connect: (LogIn) async throws -> Calls) async throws {
        let name = one["name"]?.text ?? ""
        let matcher = Matcher([
            "host": .text(server.host), "url": .text("ws://\(server.browsers)"), "password": .text(Server.key)])
        let call: Calls
        do {
            call = try await connect(logIn(matcher.filled(one["connect"] ?? .object([:])), server))
        } catch let error as CometError {
            return matcher.compare(name, one, .failure(error))
        }
        XCTAssertNil(one["fails"], "\(name): it connects")
        for (number, step) in (one["steps"]?.array ?? []).enumerated() {
            let asked = try XCTUnwrap(step["call"]?.text)
            let with = matcher.filled(step["with"] ?? .array([])).array ?? []
            let place = "\(name), step \(number) (\(asked))"
            do {
                matcher.compare(place, step, .success(json(try await call(asked, with))))
            } catch let error as CometError {
                matcher.compare(place, step, .failure(error))
            }
        }
        _ = try await call("close", [])
    }
}
