import CometQL
import XCTest

/// Fills in what the suite abbreviates, and compares results with what it expects. Knows what a case has kept.
final class Matcher {
    private var kept: [String: JSON]

    init(_ kept: [String: JSON]) { self.kept = kept }

    /// Arguments with what stands for something else put in.
    func filled(_ json: JSON) -> JSON {
        switch json {
        case let .text(text): text.hasPrefix("$") ? kept[String(text.dropFirst())] ?? json : json
        case let .array(items): .array(items.map(filled))
        case let .object(fields): made(json) ?? .object(fields.mapValues(filled))
        default: json
        }
    }

    /// Compares what came of something with what the suite expects.
    func compare(_ place: String, _ expected: JSON, _ told: Result<JSON, CometError>) {
        switch (told, expected["fails"]) {
        case let (.success(value), nil):
            if let gives = expected["gives"] { XCTAssertTrue(matches(gives, value), "\(place): \(value) is not \(gives)") }
        case let (.failure(error), fails?):
            let (kind, code) = describe(error)
            let agrees = fails["kind"] == .text(kind) && (fails["code"].map { matches($0, code) } ?? true)
            XCTAssertTrue(agrees, "\(place): \(error) is not \(fails)")
        case let (.success(value), fails?): XCTFail("\(place): \(value), and not \(fails)")
        case let (.failure(error), nil): XCTFail("\(place): \(error)")
        }
    }

    private func describe(_ error: CometError) -> (String, JSON) {
        switch error {
        case let .Refused(code, _, _): ("Refused", .whole(Int64(code)))
        case let .AccessDenied(code, _): ("AccessDenied", .whole(Int64(code)))
        case .Unreachable: ("Unreachable", .null)
        case .TimedOut: ("TimedOut", .null)
        case .Interrupted: ("Interrupted", .null)
        case .Closed: ("Closed", .null)
        case let .Ended(code, _): ("Ended", .text(code))
        case .Invalid: ("Invalid", .null)
        }
    }

    /// Whether a value is what is expected.
    private func matches(_ expected: JSON, _ told: JSON) -> Bool {
        switch expected {
        case let .text(text): return matchesText(text, told)
        case let .array(items):
            guard let told = told.array, told.count == items.count else { return false }
            return zip(items, told).allSatisfy { matches($0, $1) }
        case let .object(fields): return matchesObject(expected, fields, told)
        default: return expected == told
        }
    }

    private func matchesText(_ expected: String, _ told: JSON) -> Bool {
        switch expected {
        case "$any": return true
        case "$text": return told.text != nil
        case "$number": return told.whole.map { $0 >= 0 } ?? false
        case "$uuid": return told.text.map { $0.range(of: Self.uuid, options: .regularExpression) != nil } ?? false
        // After September 2020.
        case "$time": return told.whole.map { $0 > 1_600_000_000 } ?? false
        default: break
        }
        if expected.hasPrefix("$keep ") {
            kept[String(expected.dropFirst(6))] = told
            return true
        }
        return expected.hasPrefix("$") ? kept[String(expected.dropFirst())] == told : .text(expected) == told
    }

    private func matchesObject(_ expected: JSON, _ fields: [String: JSON], _ told: JSON) -> Bool {
        if let made = made(expected) { return made == told }
        if let length = fields["$length"]?.whole { return told.array?.count == Int(length) }
        if let claims = fields["$claims"] { return matches(claims, claimsOf(told.text ?? "")) }
        guard case let .object(told) = told, told.count == fields.count else { return false }
        return fields.allSatisfy { name, field in told[name].map { matches(field, $0) } ?? false }
    }

    /// `$repeat` and `$list`.
    private func made(_ json: JSON) -> JSON? {
        if let repeated = json["$repeat"]?.array, let text = repeated[0].text, let times = repeated[1].whole {
            return .text(String(repeating: text, count: Int(times)))
        }
        guard let list = json["$list"]?.array, let times = list[1].whole else { return nil }
        return .array(Array(repeating: list[0], count: Int(times)))
    }

    /// What a token says.
    private func claimsOf(_ token: String) -> JSON {
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return .null }
        var part = parts[1].replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        while part.count % 4 != 0 { part += "=" }
        let data = Data(base64Encoded: part) ?? Data()
        return (try? JSONDecoder().decode(JSON.self, from: data)) ?? .null
    }

    private static let uuid = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
}
