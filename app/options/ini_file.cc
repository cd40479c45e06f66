// SPDX-License-Identifier: BSD-3-Clause

// How it works: see ini_file.h. The file is read once. The content is checked for lines that
// rte_cfgfile would ignore silently, such as typing errors. Then rte_cfgfile gets the same bytes in
// a file in memory. Each kind of section is a row of a table.
#include "app/options/ini_file.h"

#include <rte_cfgfile.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "app/options/whole_file.h"
#include "base/fd.h"

namespace vduse::app {
namespace {

using Text = std::string_view;
using Words = std::vector<std::string>;

/// Many times the size that thousands of devices need. If FILE is a disk, the error comes soon.
constexpr size_t kMostBytes = size_t{1024} * 1024;
/// The longest line, comment included: the size of rte_cfgfile's buffer.
constexpr size_t kLongestLine = CFG_NAME_LEN + CFG_VALUE_LEN + 2;

struct Close {
    void operator()(rte_cfgfile* file) const { rte_cfgfile_close(file); }
};
using File = std::unique_ptr<rte_cfgfile, Close>;

struct Section {
    std::string title;  ///< the text between the brackets
    std::string name;   ///< the part of the title after the first space
    std::vector<rte_cfgfile_entry> entries;

    /// The value of `key`, or nullptr.
    [[nodiscard]] const char* value(Text key) const {
        for (const auto& entry : entries)
            if (key == entry.name)
                return entry.value;
        return nullptr;
    }
};

Error complain(const Section& section, const std::string& line) {
    return Error{EINVAL, "[" + section.title + "]: " + line};
}

/// "NAME,key=value,...". The option's reader checks that the keys are known and given once.
std::string name_and_keys(const Section& section) {
    std::string value = section.name;
    for (const auto& entry : section.entries)
        value.append(",").append(entry.name).append("=").append(entry.value);
    return value;
}

Words device_words(const Section& section) {
    return {"--device", name_and_keys(section)};
}

Words port_words(const Section& section) {
    return {"--port", name_and_keys(section)};
}

Words patch_words(const Section& section) {
    return {"--patch", std::string(section.value("a")) + ":" + section.value("b")};
}

Words reflect_words(const Section& section) {
    return {"--reflect", section.value("endpoint")};
}

Words bridge_words(const Section& section) {
    std::string value = section.value("members");
    std::erase(value, ' ');  // "vd0, vd1" is usual in such files
    if (const char* const age = section.value("age"); age != nullptr)
        value.append(",age=").append(age);
    return {"--bridge", value};
}

Words group_lcore_words(const Section& section) {
    return {
        "--group-lcore",
        std::string(section.value("device")) + ":" + section.value("group") + "=" +
            section.value("lcore")};
}

Words own_words(const Section& section) {
    Words words;
    if (const char* const stats = section.value("stats"); stats != nullptr)
        words.insert(words.end(), {"--stats", stats});
    if (const char* const idle = section.value("idle_us"); idle != nullptr)
        words.insert(words.end(), {"--idle-us", idle});
    if (const char* const gro = section.value("gro"); gro != nullptr)
        words.insert(words.end(), {"--gro", gro});
    return words;
}

struct Key {
    Text name;
    bool needed;
};

struct Kind {
    Text title;
    bool named;    ///< [title NAME]
    bool any_key;  ///< the keys are checked by the option's reader
    bool lists;    ///< values may be lists
    std::array<Key, 3> keys;
    Words (*words)(const Section&);
};

constexpr std::array<Kind, 7> kKinds = {
    {{"device", true, true, false, {}, device_words},
     {"port", true, true, false, {}, port_words},
     {"patch", false, false, false, {{{"a", true}, {"b", true}}}, patch_words},
     {"reflect", false, false, false, {{{"endpoint", true}}}, reflect_words},
     {"bridge", false, false, true, {{{"members", true}, {"age", false}}}, bridge_words},
     {"group-lcore",
      false,
      false,
      false,
      {{{"device", true}, {"group", true}, {"lcore", true}}},
      group_lcore_words},
     {"vduse-dp",
      false,
      false,
      false,
      {{{"stats", false}, {"idle_us", false}, {"gro", false}}},
      own_words}}};

template <class Rows, class Name>
std::string joined(const Rows& rows, Name name) {
    std::string list;
    for (const auto& row : rows)
        if (const std::string word = name(row); !word.empty())
            list.append(list.empty() ? "" : ", ").append(word);
    return list.empty() ? "none" : list;
}

std::string valid_keys(const Kind& kind) {
    return joined(kind.keys, [](const Key& key) { return std::string(key.name); });
}

Result<void> check_keys(const Section& section, const Kind& kind) {
    for (const auto& entry : section.entries) {
        const Text name = entry.name;
        const auto same = [&](const auto& other) { return name == other.name; };
        // Unused rows of a kind have an empty name and match no key.
        if (name.empty() || std::ranges::none_of(kind.keys, same))
            return complain(
                section, "unknown key '" + std::string(name) + "', valid keys: " + valid_keys(kind)
            );
        if (std::ranges::count_if(section.entries, same) > 1)
            return complain(section, std::string(name) + " is given twice");
    }
    for (const Key& key : kind.keys)
        if (key.needed && section.value(key.name) == nullptr)
            return complain(section, std::string(key.name) + " is missing");
    return {};
}

/// On the command line a comma ends a value, so a comma in a value here would add another key.
Result<void> check_commas(const Section& section) {
    for (const auto& entry : section.entries)
        if (Text(entry.value).find(',') != Text::npos || Text(entry.name).find(',') != Text::npos)
            return complain(section, std::string(entry.name) + ": a comma is not valid here");
    if (section.name.find(',') != std::string::npos)
        return complain(section, "a comma is not valid in a name");
    return {};
}

Result<Words> read_section(const Section& section) {
    const Text title = Text(section.title).substr(0, section.title.find(' '));
    const auto* const kind = std::ranges::find(kKinds, title, &Kind::title);
    if (kind == kKinds.end() || kind->named == section.name.empty())
        return Error{
            EINVAL,
            "unknown section [" + section.title +
                "], valid sections: " + joined(kKinds, [](const Kind& row) {
                    return std::string("[").append(row.title).append(row.named ? " NAME]" : "]");
                })};
    if (!kind->any_key)
        if (auto good = check_keys(section, *kind); !good)
            return good.error();
    if (!kind->lists)
        if (auto good = check_commas(section); !good)
            return good.error();
    return kind->words(section);
}

bool blank(Text text) {
    return text.find_first_not_of(" \t\r\n") == Text::npos;
}

/// The error of a line that rte_cfgfile would ignore or truncate silently; "" if there is none.
std::string usage_error(Text line) {
    if (line.find('\0') != Text::npos)
        return "has a NUL byte";
    if (line.size() > kLongestLine)
        return "is too long: at most " + std::to_string(kLongestLine) + " characters";
    line = line.substr(0, line.find(';'));
    if (blank(line))
        return {};
    const size_t equals = line.find('=');
    if (!line.starts_with('[') && equals == Text::npos)
        return "is neither [section] nor key=value; comments begin with ';'";
    const bool section = line.starts_with('[');
    const size_t end = section ? line.find(']') : equals;
    if (section && (end == Text::npos || !blank(line.substr(end + 1))))
        return "is not a [section] alone";
    const size_t name = section ? end - 1 : end;
    const size_t value = section ? 0 : line.size() - equals - 1;
    if (name >= CFG_NAME_LEN || value >= CFG_VALUE_LEN)
        return "is too long: names have at most " + std::to_string(CFG_NAME_LEN - 1) +
               " characters, values " + std::to_string(CFG_VALUE_LEN - 1);
    return {};
}

Result<void> check_lines(Text content) {
    for (unsigned number = 1; !content.empty(); ++number) {
        const Text line = content.substr(0, content.find('\n'));
        content.remove_prefix(std::min(line.size() + 1, content.size()));
        if (const std::string error = usage_error(line); !error.empty())
            return Error{EINVAL, "line " + std::to_string(number) + " " + error};
    }
    return {};
}

Error system_error(const std::string& what) {
    return Error{EINVAL, what + ": " + std::strerror(errno)};
}

/// rte_cfgfile only reads files by name.
Result<File> load(Text content) {
    const UniqueFd memory(::memfd_create("vduse-dp-config", MFD_CLOEXEC));
    if (!memory)
        return system_error("a file in memory");
    while (!content.empty()) {
        const ssize_t bytes = ::write(memory.get(), content.data(), content.size());
        if (bytes < 0)
            return system_error("a file in memory");
        content.remove_prefix(static_cast<size_t>(bytes));
    }
    const std::string name = "/proc/self/fd/" + std::to_string(memory.get());
    if (::access(name.c_str(), R_OK) != 0)
        return system_error(name);
    File file(rte_cfgfile_load(name.c_str(), CFG_FLAG_EMPTY_VALUES));
    if (file == nullptr)
        return Error{EINVAL, "it is not an INI file: expected [sections] with key=value lines"};
    return file;
}

Result<File> open(const std::string& name) {
    const auto content = read_whole_file(name, kMostBytes);
    if (!content)
        return Error{EINVAL, content.error().what};
    if (auto good = check_lines(*content); !good)
        return good.error();
    return load(*content);
}

Section section_at(rte_cfgfile* file, int index) {
    std::array<char, CFG_NAME_LEN> title{};
    const int count = rte_cfgfile_section_num_entries_by_index(file, title.data(), index);
    Section section;
    section.title = title.data();
    const size_t space = section.title.find(' ');
    if (space != std::string::npos)
        section.name = section.title.substr(space + 1);
    section.entries.resize(static_cast<size_t>(std::max(count, 0)));
    if (count > 0)
        rte_cfgfile_section_entries_by_index(
            file, index, title.data(), section.entries.data(), count
        );
    return section;
}

}  // namespace

Result<std::vector<std::string>> read_config(const std::string& file) {
    const auto content = open(file);
    if (!content)
        return content.error();
    Words all;
    const int sections = rte_cfgfile_num_sections(content->get(), nullptr, 0);
    for (int i = 0; i < sections; ++i) {
        auto words = read_section(section_at(content->get(), i));
        if (!words)
            return words.error();
        all.insert(all.end(), words->begin(), words->end());
    }
    return all;
}

}  // namespace vduse::app
