import CometQL
import Foundation

/// JSON whose whole numbers stay whole.
enum JSON: Equatable, Decodable {
    case null
    case bool(Bool)
    case whole(Int64)
    case fraction(Double)
    case text(String)
    case array([JSON])
    case object([String: JSON])

    init(from decoder: Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let whole = try? value.decode(Int64.self) {
            self = .whole(whole)
        } else if let fraction = try? value.decode(Double.self) {
            self = .fraction(fraction)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let array = try? value.decode([JSON].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    subscript(name: String) -> JSON? { if case let .object(fields) = self { fields[name] } else { nil } }

    var text: String? { if case let .text(text) = self { text } else { nil } }

    var whole: Int64? { if case let .whole(number) = self { number } else { nil } }

    var array: [JSON]? { if case let .array(items) = self { items } else { nil } }
}

/// What a call returned as the suite writes it: records by their fields, times in seconds.
func json(_ result: Any) -> JSON {
    switch result {
    case is Void: return .null
    case let value as Bool: return .bool(value)
    case let value as String: return .text(value)
    case let value as any BinaryInteger: return .whole(Int64(value))
    case let value as Double: return .fraction(value)
    case let value as Date: return .whole(Int64(value.timeIntervalSince1970))
    case let value as Value: return json(value)
    default: return reflected(result)
    }
}

private func json(_ value: Value) -> JSON {
    switch value {
    case .null: .null
    case let .int(number): .whole(number)
    case let .float(number): .fraction(number)
    case let .text(text): .text(text)
    case let .blob(bytes): .object(["$blob": .text(bytes.map { String(format: "%02x", $0) }.joined())])
    }
}

private func reflected(_ result: Any) -> JSON {
    let mirror = Mirror(reflecting: result)
    switch mirror.displayStyle {
    case .optional: return mirror.children.first.map { json($0.value) } ?? .null
    case .collection: return .array(mirror.children.map { json($0.value) })
    default: return .object(Dictionary(uniqueKeysWithValues: mirror.children.map { (snake($0.label ?? ""), json($0.value)) }))
    }
}

private func snake(_ name: String) -> String {
    name.map { $0.isUppercase ? "_" + $0.lowercased() : String($0) }.joined()
}
