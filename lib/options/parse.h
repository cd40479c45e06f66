// SPDX-License-Identifier: BSD-3-Clause

// Parsers of values that users write, on command lines and in lists of key=value. Pure functions.
//
// A parser returns a Complaint: nothing, or what the value must be, to be appended to its name:
// "must be 1 to 128".
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vduse::parse {

using Text = std::string_view;
using Complaint = std::optional<std::string>;

inline std::string quoted(Text text) {
    return std::string("'").append(text).append("'");
}

template <class Names>
std::string joined(const Names& names) {
    std::string list;
    for (const auto& name : names)
        list.append(list.empty() ? "" : ", ").append(name);
    return list;
}

/// The names of a table's rows, so that the names listed as valid are those that are searched.
template <class Rows>
std::vector<Text> names_of(const Rows& rows) {
    std::vector<Text> names;
    for (const auto& row : rows)
        names.push_back(row.name);
    return names;
}

/// Cuts the text up to `separator` off the front of `rest`.
inline Text cut(Text& rest, char separator) {
    const size_t end = std::min(rest.find(separator), rest.size());
    const Text front = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return front;
}

/// A number: digits and nothing else.
inline std::optional<uint32_t> number(Text text, int base = 10) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

/// Bytes: a number, optionally followed by K, M or G.
inline std::optional<uint64_t> size(Text text) {
    constexpr Text kUnits = "KMG";
    constexpr unsigned kBitsPerUnit = 10;
    const size_t unit = text.empty() ? Text::npos : kUnits.find(text.back());
    if (unit != Text::npos)
        text.remove_suffix(1);
    const auto value = number(text);
    if (!value)
        return std::nullopt;
    return uint64_t{*value} << (unit == Text::npos ? 0 : kBitsPerUnit * (unit + 1));
}

/// Stores a number between `low` and `high`, inclusive.
template <class Integer>
Complaint store_number(Text text, uint32_t low, uint32_t high, Integer& target) {
    const auto value = number(text);
    if (!value || *value < low || *value > high)
        return "must be " + std::to_string(low) + " to " + std::to_string(high);
    target = static_cast<Integer>(*value);
    return {};
}

template <class Value>
struct Choice {
    Text name;
    Value value;
};

template <class Value, size_t N>
Complaint store_choice(Text text, const std::array<Choice<Value>, N>& choices, Value& target) {
    const auto* const choice = std::ranges::find(choices, text, &Choice<Value>::name);
    if (choice == choices.end())
        return "must be one of " + joined(names_of(choices));
    target = choice->value;
    return {};
}

inline Complaint store_bool(Text text, bool& target) {
    static constexpr std::array<Choice<bool>, 6> kChoices = {
        {{"0", false}, {"1", true}, {"no", false}, {"yes", true}, {"off", false}, {"on", true}}};
    return store_choice(text, kChoices, target);
}

/// One key of a list: `set` stores its value in a Target.
template <class Target>
struct Key {
    Text name;
    Complaint (*set)(Target&, Text);
};

/// The error message for a refused value: "KEY=VALUE: KEY must be ...".
inline std::string refused(Text key, Text value, const std::string& complaint) {
    return std::string(key).append("=").append(value).append(": ").append(key).append(" ").append(
        complaint
    );
}

}  // namespace vduse::parse
