import Foundation

// Literals can stand where values are bound; a variable is wrapped: `.text(value: name)`.

extension Value: ExpressibleByNilLiteral {
    /// No value.
    public init(nilLiteral: ()) { self = .null }
}

extension Value: ExpressibleByBooleanLiteral {
    /// 1 or 0, as SQL has it.
    public init(booleanLiteral value: Bool) { self = .int(value: value ? 1 : 0) }
}

extension Value: ExpressibleByIntegerLiteral {
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .int(value: value) }
}

extension Value: ExpressibleByFloatLiteral {
    /// A number with a fraction.
    public init(floatLiteral value: Double) { self = .float(value: value) }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    /// Text.
    public init(stringLiteral value: String) { self = .text(value: value) }
}

extension Value {
    /// The whole number, if it is one.
    public var asInt: Int64? { if case let .int(value) = self { value } else { nil } }

    /// The number with a fraction, if it is one.
    public var asDouble: Double? { if case let .float(value) = self { value } else { nil } }

    /// The text, if it is one.
    public var asText: String? { if case let .text(value) = self { value } else { nil } }

    /// The bytes, if they are no text.
    public var asData: Data? { if case let .blob(value) = self { value } else { nil } }
}
