// SPDX-License-Identifier: BSD-3-Clause

// How it works: rte_kvargs splits the string as for every PMD. Each key is a row of one table,
// which is searched, and listed in error messages. Keys that switch a feature are rows of the
// feature table. Values that vduse-dp's --device has too are parsed by lib/options/keys.h. Checks
// that involve several keys come last.
#include "devargs.h"

#include <grp.h>
#include <pwd.h>
#include <rte_kvargs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>

#include "options/keys.h"
#include "vduse/config.h"
#include "vduse/limits.h"

namespace vduse::pmd {
namespace {

namespace keys = keys;
using parse::Choice;
using parse::Complaint;
using parse::Text;

constexpr Text kDevFolder = "/dev/vduse/";

Error invalid(std::string line) {
    return Error{EINVAL, std::move(line)};
}

template <Complaint (*set)(DeviceConfig&, Text)>
Complaint of_config(DevArgs& args, Text value) {
    return set(args.config, value);
}

Complaint set_iface(DevArgs& args, Text value) {
    if (value.starts_with(kDevFolder))
        value.remove_prefix(kDevFolder.size());
    args.config.name = value;
    return {};
}

Complaint set_mtu(DevArgs& args, Text value) {
    auto complaint = keys::mtu(args.config, value);
    if (!complaint)
        args.mtu = args.config.mtu;
    return complaint;
}

Complaint set_duplex(DevArgs& args, Text value) {
    static constexpr std::array<Choice<bool>, 2> kChoices = {{{"full", true}, {"half", false}}};
    return parse::store_choice(value, kChoices, args.config.full_duplex);
}

Complaint set_indirect(DevArgs& args, Text value) {
    bool indirect = false;
    auto complaint = parse::store_bool(value, indirect);
    args.config.profile = indirect ? Profile::full : Profile::migratable;
    return complaint;
}

Complaint set_linear(DevArgs& args, Text value) {
    return parse::store_bool(value, args.linear);
}

Complaint set_ext_buffer(DevArgs& args, Text value) {
    return parse::store_bool(value, args.ext_buffer);
}

Complaint set_legacy(DevArgs& args, Text value) {
    return parse::store_bool(value, args.legacy_flags);
}

/// As for vduse-dp. In addition, csum=1 says that the application handles
/// RTE_MBUF_F_RX_L4_CKSUM_NONE.
Complaint set_csum(DevArgs& args, Text value) {
    auto complaint = parse::store_bool(value, args.config.csum);
    args.leave_sums = !complaint && args.config.csum;
    return complaint;
}

/// As for vduse-dp. In addition, tso=1 says that the application expects large frames.
Complaint set_tso(DevArgs& args, Text value) {
    auto complaint = parse::store_bool(value, args.config.tso);
    args.always_large = !complaint && args.config.tso;
    return complaint;
}

/// What the kernel accepts (dev_valid_name), except '%', which would make it choose a number.
Complaint set_netdev(DevArgs& args, Text value) {
    constexpr size_t kLongest = 15;
    const bool valid = !value.empty() && value.size() <= kLongest && value != "." &&
                       value != ".." && value.find_first_of("/:% \t\n\v\f\r") == Text::npos;
    if (!valid)
        return "must be 1 to 15 characters, none of them '/', ':', '%' or a blank";
    args.netdev = value;
    return {};
}

Complaint set_netns(DevArgs& args, Text value) {
    const bool path = value.starts_with('/');
    if (value.empty() || value == "." || value == ".." || (!path && value.find('/') != Text::npos))
        return "must be a name as 'ip netns' lists them, or a path that begins with '/'";
    args.netns = value;
    return {};
}

/// Parses a number, or a name by `find`. Returns nothing if the name is unknown.
template <class Id, class Find>
bool store_id(Text text, std::optional<Id>& target, Find find) {
    target = parse::number(text);
    if (!target)
        target = find(std::string(text).c_str());
    return target.has_value();
}

std::optional<uid_t> find_user(const char* name) {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> room{};
    (void)::getpwnam_r(name, &entry, room.data(), room.size(), &found);
    return found == nullptr ? std::nullopt : std::optional(entry.pw_uid);
}

std::optional<gid_t> find_group(const char* name) {
    struct group entry {};
    struct group* found = nullptr;
    std::array<char, 65536> room{};  // all members of the group
    (void)::getgrnam_r(name, &entry, room.data(), room.size(), &found);
    return found == nullptr ? std::nullopt : std::optional(entry.gr_gid);
}

Complaint set_owner(DevArgs& args, Text value) {
    const bool has_group = value.find(':') != Text::npos;
    Text group = value;
    const Text user = parse::cut(group, ':');
    if (!store_id(user, args.owner, find_user))
        return "must be user[:group], and there is no user " + parse::quoted(user);
    if (has_group && !store_id(group, args.group, find_group))
        return "must be user[:group], and there is no group " + parse::quoted(group);
    return {};
}

Complaint set_mode(DevArgs& args, Text value) {
    constexpr uint32_t kMost = 0777;
    const auto mode = parse::number(value, 8);
    if (!mode || *mode > kMost)
        return "must be octal, 0 to 777";
    args.mode = *mode;
    return {};
}

/// Features that a PMD like this is expected to have, but does not have yet.
Complaint refuse_feature(DevArgs& /*args*/, Text value) {
    bool wanted = false;
    if (parse::store_bool(value, wanted) || wanted)
        return "must be 0: not supported yet";
    return {};
}

/// Keys of net_vhost, accepted so that its argument strings work.
Complaint ignore(DevArgs& /*args*/, Text value) {
    bool any = false;
    return parse::store_bool(value, any);
}

using Key = parse::Key<DevArgs>;
constexpr std::array<Key, 29> kKeys = {
    {{"iface", set_iface},
     {"queues", of_config<keys::queues>},
     {"queue_size", of_config<keys::queue_size>},
     {"bounce", of_config<keys::bounce>},
     {"mac", of_config<keys::mac>},
     {"mtu", set_mtu},
     {"speed", of_config<keys::speed>},
     {"duplex", set_duplex},
     {"indirect", set_indirect},
     {"linear-buffer", set_linear},
     {"ctrl_vq", of_config<keys::ctrl_vq>},
     {"groups", of_config<keys::groups>},
     {"as", of_config<keys::spaces>},
     {"persist", of_config<keys::persist>},
     {"attach", of_config<keys::attach>},
     {"netdev", set_netdev},
     {"netns", set_netns},
     {"owner", set_owner},
     {"mode", set_mode},
     {"csum", set_csum},
     {"tso", set_tso},
     {"in_order", refuse_feature},
     {"packed_vq", refuse_feature},
     {"ext-buffer", set_ext_buffer},
     {"umem", refuse_feature},
     {"client", ignore},
     {"iommu-support", ignore},
     {"postcopy-support", ignore},
     {"legacy-ol-flags", set_legacy}}};

/// Checks the key `name`; `seen` are the keys before it.
Complaint check_key(Text name, const std::vector<Text>& seen) {
    std::vector<Text> valid = parse::names_of(kKeys);
    // Some of these mean more here, and are rows of both tables.
    for (const Text feature : keys::feature_keys())
        if (std::ranges::find(valid, feature) == valid.end())
            valid.push_back(feature);
    if (std::ranges::find(valid, name) == valid.end())
        return "unknown key " + parse::quoted(name) + ", valid keys: " + parse::joined(valid);
    if (std::ranges::find(seen, name) != seen.end())
        return std::string(name) + " is given twice";
    return {};
}

/// Sets the key `name`; `given` are the keys seen before. The complaint is a whole line.
Complaint set_key(DevArgs& args, Text name, const char* value, std::vector<Text>& given) {
    if (auto complaint = check_key(name, given))
        return complaint;
    given.push_back(name);
    if (value == nullptr)
        return std::string(name) + " needs a value, " + std::string(name) + "=...";
    const auto* const key = std::ranges::find(kKeys, name, &Key::name);
    const auto complaint = key != kKeys.end()
                               ? key->set(args, value)
                               : parse::store_bool(value, args.config.*keys::feature_member(name));
    if (complaint)
        return parse::refused(name, value, *complaint);
    if (key != kKeys.end() && key->set == ignore)
        args.ignored.emplace_back(name);
    return {};
}

struct FreeKvargs {
    void operator()(rte_kvargs* list) const { rte_kvargs_free(list); }
};

/// Sets the keys of `text`.
Complaint set_keys(DevArgs& args, const char* text) {
    const std::unique_ptr<rte_kvargs, FreeKvargs> list(rte_kvargs_parse(text, nullptr));
    if (list == nullptr)
        return parse::quoted(text) + " is not a list key=value,...";
    std::vector<Text> given;
    for (const rte_kvargs_pair& pair : std::span(list->pairs, list->count))
        if (auto complaint = set_key(args, pair.key, pair.value, given))
            return complaint;
    return {};
}

}  // namespace

Result<DevArgs> parse_devargs(const char* name, const char* args) {
    DevArgs result;
    result.config.name = name;
    if (args != nullptr && *args != '\0')
        if (auto complaint = set_keys(result, args))
            return invalid(std::move(*complaint));
    if (!result.config.mac)
        result.config.mac = mac_from_name(result.config.name);
    result.config.offer_mtu = result.mtu.has_value();
    // Programs usually exit without closing their ports.
    result.config.survive_crash = true;
    if (!result.mtu)
        result.config.mtu = kMaxMtu;
    if (!result.netdev.empty() && result.config.attach != Attach::virtio)
        return invalid("netdev needs attach=virtio: there is no netdev otherwise");
    if (!result.netns.empty() && result.config.attach != Attach::virtio)
        return invalid("netns needs attach=virtio: there is no netdev otherwise");
    if (result.always_large && !result.config.csum)
        return invalid("tso=1 needs csum=1: large frames require checksum offload");
    if (auto valid = validate(result.config); !valid)
        return valid.error();
    return result;
}

}  // namespace vduse::pmd
