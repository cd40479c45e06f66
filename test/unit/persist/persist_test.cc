// SPDX-License-Identifier: BSD-3-Clause

// persist=1: another Control, as in the next process, adopts the existing device.
#include <rte_hash_crc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iterator>

#include "persist/journal.h"
#include "support/golden.h"
#include "support/session_rig.h"
#include "support/temporary_folder.h"
#include "vduse/info.h"
#include "virtio/config_space.h"

namespace vduse::test {
namespace {

class PersistTest : public SessionTest {
  protected:
    TemporaryFolder folder;

    [[nodiscard]] DeviceConfig lasting() const {
        DeviceConfig config = two_pairs();
        config.persist = true;
        config.journal_folder = folder.path();
        return config;
    }
    /// The process exits cleanly (`end`) or dies (`vanish`), and another one starts.
    void end() {
        EXPECT_TRUE(device->destroy());
        vanish();
    }
    void vanish() {
        device.reset();
        control.reset();
        EXPECT_FALSE(vd0->open);
        auto created = Control::create(&kernel);
        ASSERT_TRUE(created);
        control = std::move(*created);
    }
    [[nodiscard]] std::vector<uint8_t> journal() const {
        std::ifstream file(folder.path() + "/vd0.journal", std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void write_journal(const std::vector<uint8_t>& bytes) const {
        std::ofstream file(folder.path() + "/vd0.journal", std::ios::binary);
        file.write(
            reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())
        );
    }
    /// Adds a section to the journal slot at `at`, as a newer program may. Other programs skip it.
    static void add_section(std::vector<uint8_t>& bytes, size_t at) {
        constexpr std::array<uint8_t, 12> kSection = {0x2c, 1, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4};
        uint32_t length = 0;
        std::memcpy(&length, &bytes[at + 24], sizeof length);
        std::copy(kSection.begin(), kSection.end(), &bytes[at + 32 + length]);
        length += static_cast<uint32_t>(kSection.size());
        std::memcpy(&bytes[at + 24], &length, sizeof length);
        const uint32_t checksum = rte_hash_crc(&bytes[at + 16], 16 + length, 3);
        std::memcpy(&bytes[at + 12], &checksum, sizeof checksum);
    }
    /// Creates a device, on the bus, so that it cannot be created anew, and starts its driver.
    void start(const DeviceConfig& config) {
        ASSERT_EQ(create(config), "");
        vd0->on_bus = true;
        qemu_start();
        ASSERT_EQ(command(4, {4, 0, 2, 0}), 0U);
        ASSERT_TRUE(traffic(0));
        ASSERT_TRUE(traffic(1));
    }
};

TEST_F(PersistTest, TheNextOneGoesOn) {
    start(lasting());
    ASSERT_EQ(command(4, {0, 0, 0}), 0U);                 // promiscuous off
    ASSERT_EQ(command(4, {1, 1, 2, 0, 0, 0, 0, 9}), 0U);  // another address
    device->set_link(true);
    const FakeDevice* const before = vd0;
    end();
    EXPECT_EQ(kernel.device("vd0"), before) << "the device stayed";
    offer_from_guest(1);

    ASSERT_EQ(create(lasting()), "");
    const DeviceInfo info = device->info();
    EXPECT_TRUE(info.adopted);
    EXPECT_EQ(info.status, 0x0c);
    EXPECT_EQ(info.features, kWithMq);
    EXPECT_EQ(info.active_pairs, 2);
    EXPECT_EQ(info.groups[1].asid, 1U);
    EXPECT_TRUE(info.link_up);
    EXPECT_FALSE(info.promiscuous);
    EXPECT_EQ(info.mac, (std::array<uint8_t, 6>{2, 0, 0, 0, 0, 9}));
    EXPECT_EQ(take(1), 1U) << "what was sent meanwhile";
    EXPECT_EQ(take(1), 0U);
    EXPECT_TRUE(ring(3).take_used());
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(frame_from_guest(0) && frame_from_guest(1)) << i;
        ASSERT_TRUE(ring(1).take_used() && ring(3).take_used());
    }
    EXPECT_EQ(command(4, {0, 0, 1}), 0U);
    EXPECT_TRUE(traffic(0));
    EXPECT_EQ(command(4, {4, 0, 1, 0}), 0U);
    EXPECT_EQ(device->active_pairs(), 1);
}

// The process died after it wrote the configuration space and before it recorded that.
TEST_F(PersistTest, TheConfigurationSpaceIsWrittenAgain) {
    start(lasting());
    device->set_link(true);
    vanish();
    const size_t status = offsetof(virtio::ConfigSpace, status);
    ASSERT_EQ(vd0->config[status], virtio::kConfigLinkUp);
    vd0->config[status] = 0;
    vd0->config[0] = 0x42;
    ASSERT_EQ(create(lasting()), "");
    EXPECT_TRUE(device->info().link_up);
    EXPECT_EQ(vd0->config[status], virtio::kConfigLinkUp);
    EXPECT_EQ(vd0->config[0], kMac[0]);
}

// Each queue gets one interrupt, and so does the configuration, because the last one may be lost.
TEST_F(PersistTest, TheDriverIsWoken) {
    start(lasting());
    std::array<unsigned, 5> before{};
    for (size_t i = 0; i < 5; ++i)
        before[i] = vd0->vqs[i].irqs;
    const unsigned of_config = vd0->config_irqs;
    end();
    ASSERT_EQ(create(lasting()), "");
    settle();
    for (size_t i = 0; i < 5; ++i)
        EXPECT_EQ(vd0->vqs[i].irqs, before[i] + 1);
    EXPECT_EQ(vd0->config_irqs, of_config + 1);
}

// On these kernels no message says which queues are ready.
TEST_F(PersistTest, OnOlderKernels) {
    for (const auto version : {FakeKernel::Linux::v7_2, FakeKernel::Linux::v6_12}) {
        kernel.be_linux(version);
        kernel.refuse_ctrl_vq = true;
        ASSERT_EQ(create(lasting()), "");
        vd0->on_bus = true;
        plain_start();
        for (int i = 0; i < 5; ++i)
            ASSERT_TRUE(traffic(0));
        end();
        ASSERT_EQ(create(lasting()), "");
        EXPECT_TRUE(traffic(0));
        EXPECT_TRUE(traffic(0));
        vd0->on_bus = false;
        DeviceConfig passing = lasting();
        passing.persist = false;
        end();
        ASSERT_EQ(create(passing), "");
        ASSERT_TRUE(device->destroy());
        device.reset();
    }
}

// The process ended while guest memory was being remapped.
TEST_F(PersistTest, RingsThatAreNotMappedJustThen) {
    start(lasting());
    end();
    vd0->unmap_all(0);
    ASSERT_EQ(create(lasting()), "");
    EXPECT_FALSE(frame_from_guest(0));
    map_guest();
    EXPECT_EQ(take(0), 1U);
    EXPECT_TRUE(traffic(1));
}

TEST_F(PersistTest, AfterAProcessThatVanished) {
    start(lasting());
    vanish();
    ASSERT_EQ(create(lasting()), "");
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(traffic(1));
    EXPECT_EQ(command(4, {4, 0, 1, 0}), 0U);
}

// A driver can corrupt the positions of its queues. It harms only itself.
TEST_F(PersistTest, Case139_UsedIndexChangedMeanwhile) {
    start(lasting());
    const uint16_t used = ring(1).used_idx();
    for (const int change : {-1, -65, -300, 1, 64, 0x8000}) {
        SCOPED_TRACE(change);
        vanish();
        ring(1).write_used_idx(static_cast<uint16_t>(used + change));
        ASSERT_EQ(create(lasting()), "");
        device->set_link(true);
        EXPECT_EQ(take(0), change == -1 ? 1U : 0U);
        settle();
        EXPECT_EQ(device->queue_info(1)->quarantined, change != -1);
        EXPECT_EQ(device->info().link_up, change == -1);
        EXPECT_TRUE(traffic(1)) << "the other pair";
    }
    qemu_start();
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(device->info().link_up);
}

TEST_F(PersistTest, AgainAndAgain) {
    start(lasting());
    for (int i = 0; i < 20; ++i) {
        end();
        ASSERT_EQ(create(lasting()), "");
        ASSERT_TRUE(traffic(0)) << i;
        ASSERT_EQ(command(4, {4, 0, static_cast<uint8_t>(1 + i % 2), 0}), 0U);
    }
}

TEST_F(PersistTest, WhatTheDriverDoesMeanwhileIsHeard) {
    start(lasting());
    end();
    uapi::abi::Request request{};
    request.type = static_cast<uint32_t>(uapi::abi::RequestType::set_vq_ready);
    request.vq_ready = {1, 0};
    vd0->queue(request);
    ASSERT_EQ(create(lasting()), "");
    settle();
    EXPECT_FALSE(device->queue_info(1)->running);
    EXPECT_TRUE(traffic(1));
}

TEST_F(PersistTest, ADeviceWithoutADriver) {
    ASSERT_EQ(create(lasting()), "");
    end();
    ASSERT_EQ(create(lasting()), "");
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(PersistTest, ASuspendedDeviceKeepsItsPositions) {
    start(lasting());
    ASSERT_TRUE(vd0->suspend());
    const auto from = *vd0->get_vq_state(1);
    const auto to = *vd0->get_vq_state(2);
    end();
    ASSERT_EQ(create(lasting()), "");
    EXPECT_EQ(vd0->get_vq_state(1), from);
    EXPECT_EQ(vd0->get_vq_state(2), to);
    EXPECT_FALSE(frame_from_guest(0));
}

// ---- other options, and missing journals

TEST_F(PersistTest, OtherOptionsMakeAnotherDevice) {
    ASSERT_EQ(create(lasting()), "");
    end();
    DeviceConfig other = lasting();
    other.queue_size = 256;
    ASSERT_EQ(create(other), "") << "nobody uses it: it is made anew";
    EXPECT_FALSE(device->info().adopted);
    EXPECT_EQ(vd0->vqs[0].max_size, 256);
    vd0->on_bus = true;
    end();
    for (const auto& change : {
             +[](DeviceConfig& config) { config.queue_size = 512; },
             +[](DeviceConfig& config) { config.mtu = 9000; },
             +[](DeviceConfig& config) { config.speed = 1; },
             +[](DeviceConfig& config) { config.queue_pairs = 3; },
             +[](DeviceConfig& config) { config.groups = Groups::per_pair; },
         }) {
        DeviceConfig changed = other;
        change(changed);
        EXPECT_NE(create(changed).find("exists already and is in use"), std::string::npos);
    }
}

TEST_F(PersistTest, AControlQueueThatIsNotWanted) {
    DeviceConfig config = lasting();
    config.queue_pairs = 1;
    ASSERT_EQ(create(config), "");
    end();
    config.ctrl_vq = CtrlVq::off;
    ASSERT_EQ(create(config), "");
    EXPECT_EQ(vd0->queues, 2U) << "made anew";
}

// Without its journal the process reconstructs what it can from the kernel, and positions from the
// rings. Settings of the control queue are lost, but no frame is lost because of that.
TEST_F(PersistTest, ADeviceInUseWithoutItsJournal) {
    const std::string journal = folder.path() + "/vd0.journal";
    const std::function<void()> spoil[] = {
        [&] { std::filesystem::remove(journal); },
        [&] { std::filesystem::resize_file(journal, 1000); },
        [&] { std::ofstream(journal) << "another program's"; },
    };
    for (const auto& how : spoil) {
        start(lasting());
        ASSERT_EQ(command(4, {0, 0, 0}), 0U);  // promiscuous off
        end();
        how();
        offer_from_guest(0);
        ASSERT_EQ(create(lasting()), "");
        const DeviceInfo info = device->info();
        EXPECT_TRUE(info.adopted);
        EXPECT_TRUE(info.promiscuous);
        EXPECT_EQ(info.mac, kMac);
        EXPECT_EQ(info.features, kWithMq);
        EXPECT_EQ(info.groups[0].asid, 0U);
        EXPECT_EQ(info.groups[1].asid, 1U) << "QEMU's own memory, not the guest's at that address";
        EXPECT_EQ(info.active_pairs, 1) << "which the driver surely uses";
        EXPECT_EQ(take(0), 1U);
        ASSERT_TRUE(ring(1).take_used());
        EXPECT_TRUE(traffic(0));
        EXPECT_TRUE(frame_from_guest(1)) << "served all the same";
        ASSERT_TRUE(ring(3).take_used());
        EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
        EXPECT_TRUE(traffic(1));
        end();
        ASSERT_EQ(create(lasting()), "") << "there is a journal again";
        EXPECT_EQ(device->info().active_pairs, 2);
        vd0->on_bus = false;
        end();
        std::filesystem::remove(journal);
    }
}

// A queried position comes from the ring, even if no queue runs.
TEST_F(PersistTest, WithoutItsJournalASuspendedDeviceKnowsItsPositions) {
    start(lasting());
    ASSERT_TRUE(vd0->suspend());
    end();
    std::filesystem::remove(folder.path() + "/vd0.journal");
    ASSERT_EQ(create(lasting()), "");
    EXPECT_EQ(vd0->get_vq_state(1), 1);
    EXPECT_EQ(vd0->get_vq_state(0), 1);
    EXPECT_EQ(take(0), 0U);
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(PersistTest, WithoutItsJournalAnotherShapeIsAnotherDevice) {
    start(lasting());
    end();
    std::filesystem::remove(folder.path() + "/vd0.journal");
    DeviceConfig other = lasting();
    other.queue_pairs = 3;
    EXPECT_NE(create(other).find("exists already and is in use"), std::string::npos);
    other = lasting();
    other.queue_pairs = 1;
    other.ctrl_vq = CtrlVq::off;
    EXPECT_NE(create(other).find("exists already and is in use"), std::string::npos);
    other = two_pairs();
    EXPECT_NE(create(other).find("exists already and is in use"), std::string::npos)
        << "nobody asked for what outlives a process";
    EXPECT_EQ(create(lasting()), "");
}

// A newer program would offer more features. The driver has seen the old offer, so that stays.
TEST_F(PersistTest, MoreFeatures) {
    start(lasting());
    const DeviceConfig narrow = lasting();
    const uint64_t offered = vd0->features;
    end();
    DeviceConfig wide = narrow;
    wide.profile = Profile::full;
    EXPECT_TRUE(can_adopt(wide, &kernel));
    ASSERT_EQ(create(wide), "");
    EXPECT_TRUE(traffic(0));
    EXPECT_EQ(vd0->features, offered);
    end();
    ASSERT_EQ(create(narrow), "") << "and back";
    EXPECT_TRUE(traffic(0));
}

TEST_F(PersistTest, WhetherAnotherCouldGoOn) {
    EXPECT_EQ(can_adopt(lasting(), &kernel).error().code, ENOENT);
    start(lasting());
    EXPECT_TRUE(can_adopt(lasting(), &kernel)) << "while this one has it";
    DeviceConfig other = lasting();
    other.mtu = 9000;
    EXPECT_EQ(can_adopt(other, &kernel).error().code, EINVAL);
    other = lasting();
    other.mrg_rxbuf = false;
    EXPECT_EQ(can_adopt(other, &kernel).error().code, EINVAL) << "fewer features";
    EXPECT_TRUE(traffic(0));
}

// ---- journals of other programs

// Another version of the program knows the state that this driver relies on; this one does not. It
// refuses to guess.
TEST_F(PersistTest, ADeviceInUseWhoseJournalIsOfAnotherVersion) {
    start(lasting());
    end();
    const auto later = [this] {
        std::vector<uint8_t> bytes = journal();
        bytes[0x1'0000 + 8] = 4;
        bytes[0x2'0000 + 8] = 4;
        return bytes;
    };
    const std::pair<std::vector<uint8_t>, const char*> all[] = {
        {golden("journal-2.hex"), "is of version 2, and this program reads version 3"},
        {later(), "is of version 4, and this program reads version 3"},
        {golden("journal-3-must.hex"), "has section 300, which this program does not know"}};
    for (const auto& [bytes, why] : all) {
        write_journal(bytes);
        const auto able = can_adopt(lasting(), &kernel);
        ASSERT_FALSE(able);
        EXPECT_EQ(able.error().code, EPROTONOSUPPORT);
        for (const std::string& text : {able.error().what, create(lasting())})
            for (const std::string& part :
                 {std::string(why),
                  folder.path() + "/vd0.journal",
                  std::string("start the program that wrote it"),
                  std::string("'vdpa dev del vd0'"),
                  std::string("remove that file")})
                EXPECT_NE(text.find(part), std::string::npos) << part << " is not in " << text;
        std::vector<uint8_t> after = journal();
        after.resize(bytes.size());
        EXPECT_EQ(after, bytes) << "it stays for the program that wrote it";
        EXPECT_FALSE(vd0->open);
    }
    // The way out without that program: remove the journal.
    std::filesystem::remove(folder.path() + "/vd0.journal");
    ASSERT_EQ(create(lasting()), "");
    EXPECT_TRUE(device->info().adopted);
    EXPECT_TRUE(traffic(0));
}

TEST_F(PersistTest, ADeviceThatNothingUsesIsMadeAnewWhateverItsJournal) {
    for (const char* name : {"journal-2.hex", "journal-3-must.hex"}) {
        ASSERT_EQ(create(lasting()), "");
        end();
        write_journal(golden(name));
        testing::internal::CaptureStderr();
        EXPECT_EQ(create(lasting()), "");
        const std::string lines = testing::internal::GetCapturedStderr();
        EXPECT_NE(lines.find("vd0: made anew: its journal"), std::string::npos) << lines;
        EXPECT_FALSE(device->info().adopted);
        qemu_start();
        vanish();
        ASSERT_EQ(create(lasting()), "") << "by a journal that is ours";
        EXPECT_TRUE(device->info().adopted);
        EXPECT_TRUE(traffic(0));
        qemu_start();
        end();
    }
}

// Unknown sections are skipped. The next journal omits them, because nobody keeps them up to date.
TEST_F(PersistTest, TheJournalOfANewerProgram) {
    start(lasting());
    ASSERT_EQ(command(4, {0, 0, 0}), 0U);
    end();
    std::vector<uint8_t> bytes = journal();
    for (const size_t slot : {0x1'0000U, 0x2'0000U})
        add_section(bytes, slot);
    write_journal(bytes);
    EXPECT_TRUE(can_adopt(lasting(), &kernel));
    ASSERT_EQ(create(lasting()), "");
    EXPECT_TRUE(device->info().adopted);
    EXPECT_FALSE(device->info().promiscuous);
    EXPECT_EQ(device->info().active_pairs, 2);
    EXPECT_TRUE(frame_from_guest(1));

    bytes = journal();
    const size_t newest = bytes[0x1'0000 + 16] > bytes[0x2'0000 + 16] ? 0x1'0000 : 0x2'0000;
    uint32_t length = 0;
    std::memcpy(&length, &bytes[newest + 24], sizeof length);
    const auto record = persist::Journal::read(folder.path(), "vd0");
    ASSERT_TRUE(record && *record);
    EXPECT_EQ(length, persist::to_bytes(**record).size());
}

TEST_F(PersistTest, AJournalWithoutItsDevice) {
    ASSERT_EQ(create(lasting()), "");
    end();
    auto node = kernel.open_control();
    ASSERT_TRUE((*node)->destroy("vd0"));
    ASSERT_EQ(create(lasting()), "");
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

// The driver's side is killed while no process serves the device. The kernel performs its reset
// alone.
TEST_F(PersistTest, AResetThatNobodySaw) {
    start(lasting());
    ASSERT_EQ(command(4, {0, 0, 0}), 0U);
    vanish();
    vd0->driver_features = 0;
    vd0->status = 0;
    for (size_t i = 0; i < 5; ++i)
        vd0->vqs[i].ready = false;
    ASSERT_EQ(create(lasting()), "");
    const DeviceInfo info = device->info();
    EXPECT_EQ(info.status, 0);
    EXPECT_EQ(info.features, 0U);
    EXPECT_EQ(info.groups[1].asid, 0U);
    EXPECT_TRUE(info.promiscuous);
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

// An earlier device of another program took chains and never returned them. They are not ours to
// return, nor are they for the next process.
TEST_F(PersistTest, ChainsThatADeviceBeforeUsKept) {
    ASSERT_EQ(create(lasting()), "");
    plain_start(kBase, [&] {
        MockDriver& ring = set_up(1);
        for (Iova i = 0; i < 3; ++i)
            ring.offer({{kBuffers + 0x1000 * i, 72, false}});
        ring.publish();
        vd0->set_vq(1, ring.layout(), 3);
    });
    EXPECT_EQ(take(0), 0U);
    EXPECT_TRUE(frame_from_guest(0));
    EXPECT_EQ(ring(1).used_idx(), 1);
    EXPECT_EQ(vd0->get_vq_state(1), 4);
    for (int crash = 0; crash < 2; ++crash) {
        vanish();
        ASSERT_EQ(create(lasting()), "");
        EXPECT_EQ(take(0), 0U) << "nothing comes twice";
        EXPECT_TRUE(frame_from_guest(0));
    }
    EXPECT_EQ(vd0->get_vq_state(1), 6);
    EXPECT_EQ(ring(1).used_idx(), 3);
}

// The kernel waits half a minute for an answer; for SET_VQ_READY it waits until the caller is
// killed.
TEST_F(PersistTest, ADeviceThatTheKernelGaveUp) {
    start(lasting());
    vanish();
    vd0->give_up();
    EXPECT_NE(create(lasting()).find("'vdpa dev del vd0' takes it off"), std::string::npos);
    vd0->on_bus = false;
    ASSERT_EQ(create(lasting()), "") << "made anew";
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

// The journal is that of an earlier driver. No process saw its reset and the start of the new one.
TEST_F(PersistTest, TheJournalOfAnEarlierDriver) {
    start(lasting());
    vanish();
    vd0->driver_features = kBase;
    vd0->status = 0;
    ASSERT_EQ(create(lasting()), "");
    EXPECT_EQ(device->info().status, 0);
    EXPECT_EQ(device->info().features, 0U);
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(PersistTest, ASecondProcess) {
    ASSERT_EQ(create(lasting()), "");
    const auto second = control->add(lasting());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
}

// A newer binary takes over: the device and its journal are released, and nothing else changes.
TEST_F(PersistTest, LetGo) {
    DeviceConfig config = lasting();
    config.persist = false;
    config.survive_crash = true;
    start(config);
    ASSERT_EQ(command(4, {0, 0, 0}), 0U);
    EXPECT_FALSE(control->add(config)) << "as long as we have it";
    ASSERT_TRUE(device->release());
    EXPECT_FALSE(vd0->open);
    control->run_once(0);
    device.reset();
    offer_from_guest(1);
    ASSERT_EQ(create(config), "");
    EXPECT_FALSE(device->info().promiscuous);
    EXPECT_EQ(take(1), 1U);
    EXPECT_TRUE(device->destroy().error().code == EBUSY) << "it is on the bus";
}

TEST_F(PersistTest, AllAreLetGoOrNone) {
    start(lasting());
    DeviceConfig passing = two_pairs();
    passing.name = "vd1";
    auto second = control->add(passing);
    ASSERT_TRUE(second);
    const std::array<Device*, 2> both = {device.get(), second->get()};
    const auto gone = control->release(both);
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, ENOTSUP);
    EXPECT_TRUE(gone.error().what.starts_with("vd1: ")) << gone.error().what;
    EXPECT_TRUE(vd0->open);
    EXPECT_TRUE(traffic(0)) << "the first one goes on";
    ASSERT_TRUE((*second)->destroy());
    second->reset();
    ASSERT_TRUE(control->release({both.data(), 1}));
    EXPECT_FALSE(vd0->open);
}

TEST_F(PersistTest, NotLetGoWithoutAJournal) {
    ASSERT_EQ(create(two_pairs()), "");
    const auto gone = device->release();
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, ENOTSUP);
    plain_start();
    EXPECT_TRUE(traffic(0)) << "it goes on";
}

// Only another process can see which process owns a device.
TEST_F(PersistTest, TheHolderIsKnownByItsPid) {
    for (const bool supports_handover : {false, true}) {
        DeviceConfig config = lasting();
        config.supports_handover = supports_handover;
        ASSERT_EQ(create(config), "");
        const pid_t other = ::fork();
        if (other == 0) {
            const auto owner = owner_of(config);
            const auto journal = persist::Journal::open(folder.path(), "vd0");
            const bool right =
                owner && owner->pid == ::getppid() &&
                owner->supports_handover == supports_handover && !journal &&
                journal.error().what.find(std::to_string(::getppid())) != std::string::npos;
            ::_exit(right ? 0 : 1);
        }
        int status = -1;
        ASSERT_EQ(::waitpid(other, &status, 0), other);
        EXPECT_EQ(status, 0);
        ASSERT_TRUE(device->destroy());
        device.reset();
        EXPECT_FALSE(owner_of(config));
    }
    EXPECT_FALSE(owner_of(two_pairs())) << "no journal";
}

TEST_F(PersistTest, WithoutItTheJournalIsForgotten) {
    ASSERT_EQ(create(lasting()), "");
    end();
    DeviceConfig passing = lasting();
    passing.persist = false;
    ASSERT_EQ(create(passing), "");
    EXPECT_FALSE(std::filesystem::exists(folder.path() + "/vd0.journal"));
    EXPECT_TRUE(device->destroy());
    EXPECT_EQ(kernel.device("vd0"), nullptr);
}

// A second process is started by mistake: the owner's journal stays.
TEST_F(PersistTest, WithoutItADeviceInUseKeepsItsJournal) {
    start(lasting());
    DeviceConfig passing = lasting();
    passing.persist = false;
    EXPECT_FALSE(control->add(passing));
    end();
    EXPECT_FALSE(control->add(passing));
    ASSERT_EQ(create(lasting()), "");
    EXPECT_TRUE(traffic(0));
}

// For programs with ports: the device survives a crash, and closing the port destroys it.
TEST_F(PersistTest, OnlyAfterACrash) {
    DeviceConfig config = lasting();
    config.persist = false;
    config.survive_crash = true;
    start(config);
    vanish();
    ASSERT_EQ(create(config), "");
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(traffic(1));
    vd0->on_bus = false;
    EXPECT_TRUE(device->destroy());
    EXPECT_EQ(kernel.device("vd0"), nullptr);
    device.reset();
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));

    config.journal_folder = "/proc/nowhere";
    EXPECT_EQ(create(config), "") << "then a crash is an outage";
    EXPECT_TRUE(device->destroy());
}

TEST_F(PersistTest, NoFolderForTheJournal) {
    DeviceConfig config = lasting();
    config.journal_folder = "/proc/none";
    EXPECT_NE(create(config).find("journal"), std::string::npos);
    EXPECT_EQ(kernel.device("vd0"), nullptr);
}

// A broken device is of no use to the next process.
TEST_F(PersistTest, ABrokenDeviceDoesNotStay) {
    ASSERT_EQ(create(lasting()), "");
    vd0->give_up();
    control->run_once(0);
    ASSERT_TRUE(device->broken());
    EXPECT_TRUE(device->destroy());
    EXPECT_EQ(kernel.device("vd0"), nullptr);
    EXPECT_FALSE(std::filesystem::exists(folder.path() + "/vd0.journal"));
}

}  // namespace
}  // namespace vduse::test
