//! Every kind of hostile driver there is a name for: what the host says of each, and that the
//! next call of another driver works.

mod answers;
mod bytes;
mod class;
mod contracts;
mod crashes;
mod damage;
mod manifests;
mod rooms;
mod times;

use std::path::Path;
use std::time::Duration;

use postern_model::driver::{Capability, EndpointView};
use postern_model::grant::Grants;
use tempfile::TempDir;

use self::class::{Class, Stage};
pub(crate) use self::rooms::many_handles;
use super::lines::logged;
use super::{context, endpoint, load, network, open};
use crate::built_in;
use crate::{DriverHost, Limits};

/// One hostile driver and how it has to end.
struct Specimen {
    bytes: Vec<u8>,
    limits: Limits,
    stage: Stage,
    class: Class,
    /// A part of the error's text.
    says: &'static str,
}

impl Specimen {
    fn new(bytes: Vec<u8>, stage: Stage, class: Class, says: &'static str) -> Self {
        // Little fuel, so that a loop ends soon; much time, since the machine may be busy.
        let minute = Duration::from_secs(60);
        let limits = Limits {
            fuel: 1_000_000,
            call_wall: minute,
            instantiate_wall: minute,
            ..Limits::default()
        };
        Self { bytes, limits, stage, class, says }
    }
}

/// Names every kind with what makes it, so that none is without a test.
macro_rules! guests {
    ($($guest:ident => $specimen:path,)*) => {
        #[derive(Debug, Clone, Copy)]
        enum Guest {
            $($guest,)*
        }

        impl Guest {
            const ALL: &[Self] = &[$(Self::$guest,)*];

            fn specimen(self) -> Specimen {
                match self {
                    $(Self::$guest => $specimen(),)*
                }
            }
        }
    };
}

guests! {
    LoopInDescribe => times::loop_in_describe,
    LoopInNetwork => times::loop_in_network,
    LoopInEndpoint => times::loop_in_endpoint,
    LoopInStart => times::loop_in_start,
    LoopInInitialize => times::loop_in_initialize,
    LoopInAllocator => times::loop_in_allocator,
    LoopAfterReturn => times::loop_after_return,
    LoopWithFuel => times::loop_with_fuel,
    StartWithFuel => times::start_with_fuel,
    BulkLoop => times::bulk_loop,
    LongLines => times::long_lines,
    MemoryBomb => rooms::memory_bomb,
    MemoryAtStart => rooms::memory_at_start,
    MemoryInInitialize => rooms::memory_in_initialize,
    Memories => rooms::memories,
    TableBomb => rooms::table_bomb,
    TableAtStart => rooms::table_at_start,
    Tables => rooms::tables,
    Recursion => rooms::recursion,
    Instances => rooms::instances,
    ThousandsOfInstances => rooms::thousands_of_instances,
    Handles => rooms::handles,
    HugeCustomSection => rooms::huge_custom_section,
    HugeData => rooms::huge_data,
    Types => rooms::types,
    TypeBomb => rooms::type_bomb,
    NestedComponents => rooms::nested_components,
    Unreachable => crashes::unreachable,
    OutOfBounds => crashes::out_of_bounds,
    DataOutOfBounds => crashes::data_out_of_bounds,
    NullCall => crashes::null_call,
    DivisionByZero => crashes::division_by_zero,
    Panic => crashes::panic,
    AllocatorOutOfBounds => crashes::allocator_out_of_bounds,
    AllocatorUnaligned => crashes::allocator_unaligned,
    CrashAfterReturn => crashes::crash_after_return,
    HugeState => answers::huge_state,
    HugeList => answers::huge_list,
    Aliases => answers::aliases,
    TooManyResources => answers::too_many_resources,
    TooMuchState => answers::too_much_state,
    LongText => answers::long_text,
    BadUtf8 => answers::bad_utf8,
    BadPointer => answers::bad_pointer,
    BadList => answers::bad_list,
    BadCase => answers::bad_case,
    BadResource => answers::bad_resource,
    Unaligned => answers::unaligned,
    LogFlood => answers::log_flood,
    HugeLine => answers::huge_line,
    BadLine => answers::bad_line,
    CapabilityNotAsked => answers::capability_not_asked,
    NameOfAnother => manifests::name_of_another,
    ControlCharacters => manifests::control_characters,
    BadName => manifests::bad_name,
    BadUtf8InName => manifests::bad_utf8_in_name,
    LongSummary => manifests::long_summary,
    TooManyOptions => manifests::too_many_options,
    OptionTwice => manifests::option_twice,
    OptionWithoutName => manifests::option_without_name,
    TooManyCapabilities => manifests::too_many_capabilities,
    UnknownCapability => manifests::unknown_capability,
    UnknownAttach => manifests::unknown_attach,
    HugeManifest => manifests::huge_manifest,
    Wasi => contracts::wasi,
    Env => contracts::env,
    OtherPackage => contracts::other_package,
    OtherVersionOfLog => contracts::other_version_of_log,
    OtherVersionOfDriver => contracts::other_version_of_driver,
    OtherFunctionOfLog => contracts::other_function_of_log,
    OtherCoreTypeOfLog => contracts::other_core_type_of_log,
    OtherTypeOfLog => contracts::other_type_of_log,
    OtherTypeOfDescribe => contracts::other_type_of_describe,
    ImportsModule => contracts::imports_module,
    UsesImportedModule => contracts::uses_imported_module,
    ImportsTypes => contracts::imports_types,
    WithoutContract => contracts::without_contract,
    WithoutExport => contracts::without_export,
    WithoutFunction => contracts::without_function,
    ExportOfNothing => contracts::export_of_nothing,
    TwoDrivers => contracts::two_drivers,
    TwoContracts => contracts::two_contracts,
    RottenContract => contracts::rotten_contract,
    MachineCode => bytes::machine_code,
    Text => bytes::text,
    Nothing => bytes::nothing,
    Noise => bytes::noise,
    TooLarge => bytes::too_large,
    Memory64 => bytes::memory64,
    Threads => bytes::threads,
}

#[test]
fn every_guest_ends_as_it_must_and_alone() {
    let state = TempDir::new().unwrap();
    let wrong: Vec<String> =
        Guest::ALL.iter().filter_map(|guest| meet(*guest, state.path()).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn meet(guest: Guest, state: &Path) -> Result<(), String> {
    let specimen = guest.specimen();
    let host = open(state, specimen.limits.clone());
    host.load(built_in::MODULES[2], true, &Grants::default()).unwrap();
    let (stage, class, text) = class::of(run(&host, &specimen.bytes));
    let good = host.driver("null").unwrap();
    good.network(&context(), &network(&[])).unwrap();
    let unpublished = EndpointView { bindings: Vec::new(), ..endpoint() };
    good.endpoint(&context(), &network(&[]), &unpublished).unwrap();
    if (stage, class) == (specimen.stage, specimen.class) && text.contains(specimen.says) {
        return Ok(());
    }
    Err(format!(
        "{guest:?}: {stage:?} {class:?} {text:?}\n    not {:?} {:?} {:?}",
        specimen.stage, specimen.class, specimen.says
    ))
}

/// Loads a driver and calls everything it has.
fn run(host: &DriverHost, bytes: &[u8]) -> Result<(), class::End> {
    let info = host.load(bytes, false, &Grants::default()).map_err(class::End::Load)?;
    let driver = host.driver(info.manifest.name.as_str()).unwrap();
    driver.network(&context(), &network(&[])).map_err(class::End::Network)?;
    driver.endpoint(&context(), &network(&[]), &endpoint()).map_err(class::End::Endpoint).map(drop)
}

#[test]
fn a_flood_of_lines_is_counted() {
    let bytes = Guest::LogFlood.specimen().bytes;
    let lines = logged(|| {
        let driver = load(&bytes, Limits::default()).unwrap();
        driver.network(&context(), &network(&[])).unwrap();
    });
    assert_eq!(lines.len(), 65);
    assert!(lines[64].ends_with("lines=9936"), "{}", lines[64]);
}

#[test]
fn a_capability_that_is_not_asked_for_is_not_granted() {
    let bytes = Guest::CapabilityNotAsked.specimen().bytes;
    let state = TempDir::new().unwrap();
    let host = open(state.path(), Limits::default());
    let granted = host.load(&bytes, false, &Grants::all_of(Capability::ALL)).unwrap().granted;
    let driver = host.driver("guest").unwrap();
    let decision = driver.network(&context(), &network(&[])).unwrap();
    let [resource] = &decision.resources[..] else { panic!("{decision:?}") };
    assert_eq!(resource.capability(), Capability::Bridge);
    assert!(granted.iter().next().is_none());
}

#[test]
fn a_module_cut_short_is_told_so() {
    let state = TempDir::new().unwrap();
    let host = open(state.path(), Limits::default());
    let whole = built_in::MODULES[0];
    for sixteenth in 0..16 {
        let (stage, class, text) = class::of(run(&host, &whole[..whole.len() * sixteenth / 16]));
        assert_eq!((stage, class), (Stage::Load, Class::Malformed), "{sixteenth}: {text}");
    }
}
