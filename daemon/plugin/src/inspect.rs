//! A first look at a driver's bytes, before anything is compiled.

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::Engine;

use crate::contract::{EXPORT, IMPORTS, Interface};
use crate::limits::{Limit, LimitHit};

/// Why bytes are not a driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Longer than allowed.
    #[error("the module exceeds the {0}")]
    TooLarge(LimitHit),
    /// Machine code. It would run as the daemon, unchecked.
    #[error("the module is machine code compiled beforehand; only WebAssembly is accepted")]
    Precompiled,
    /// Not WebAssembly, or damaged.
    #[error("not a WebAssembly binary: {reason} at byte {offset}")]
    Malformed {
        /// What is wrong.
        reason: String,
        /// Where.
        offset: u64,
    },
    /// A core module without the section that says what it implements.
    #[error("the module has no component type: it was not built with the driver SDK")]
    NoContract,
    /// It is built for another version of the contract.
    #[error("built for `{found}`, the daemon speaks 0.1; rebuild with a matching SDK")]
    ContractVersion {
        /// The interface with its version.
        found: String,
    },
    /// It wants something that drivers are not given, such as WASI.
    #[error("imports `{name}`; a driver is given nothing but `postern:driver/log`")]
    UnknownImport {
        /// The import's name.
        name: String,
    },
    /// It does not export the driver's interface.
    #[error("does not export `postern:driver/driver`")]
    NoExport,
    /// It exports the driver's interface in two versions that the daemon speaks, and nothing
    /// says which is meant.
    #[error("is two drivers: exports `{first}` and `{second}`")]
    TwoDrivers {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
}

/// What the top level of a binary says.
#[derive(Debug, Default)]
struct Surface {
    core: bool,
    typed: bool,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Checks size, form, imports and contract.
pub(crate) fn inspect(bytes: &[u8], max: usize) -> Result<(), InspectError> {
    if bytes.len() > max {
        let hit = LimitHit::new(Limit::ModuleBytes, max, Some(bytes.len()));
        return Err(InspectError::TooLarge(hit));
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(InspectError::Precompiled);
    }
    let surface = surface(bytes).map_err(|error| InspectError::Malformed {
        reason: error.message().to_owned(),
        offset: u64::try_from(error.offset()).unwrap_or(u64::MAX),
    })?;
    check(&surface)
}

/// Whether the bytes are a core module.
pub(crate) fn is_core(bytes: &[u8]) -> bool {
    Parser::is_core_wasm(bytes)
}

/// Walks all of the binary, nested modules too, and notes what its top level says.
fn surface(bytes: &[u8]) -> Result<Surface, wasmparser::BinaryReaderError> {
    let mut surface = Surface::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::Version { encoding, .. } => {
                depth += 1;
                if depth == 1 {
                    surface.core = *encoding == Encoding::Module;
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth == 1 => surface.note(payload)?,
            _ => {}
        }
    }
    Ok(surface)
}

impl Surface {
    fn note(&mut self, payload: Payload<'_>) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::CustomSection(section) => {
                self.typed |= section.name().starts_with("component-type");
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.imports.push(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn check(surface: &Surface) -> Result<(), InspectError> {
    if surface.core && !surface.typed {
        return Err(InspectError::NoContract);
    }
    for name in &surface.imports {
        let interface = Interface::parse(plain(name))
            .filter(|interface| IMPORTS.contains(&interface.name))
            .ok_or_else(|| InspectError::UnknownImport { name: name.clone() })?;
        supported(interface, name)?;
    }
    // A core module names functions, `interface#function`; a component names interfaces.
    let exports = surface.exports.iter().filter_map(|name| {
        let interface = plain(name).split(['#', '|']).next().unwrap_or_default();
        Interface::parse(interface).map(|interface| (name, interface))
    });
    one_driver(exports.filter(|(_, interface)| interface.name == EXPORT))
}

/// A driver may be built for several versions of the contract; one of them is the daemon's.
fn one_driver<'a>(
    drivers: impl Iterator<Item = (&'a String, Interface<'a>)>,
) -> Result<(), InspectError> {
    let (ours, others): (Vec<_>, Vec<_>) =
        drivers.partition(|(_, interface)| interface.is_supported());
    let Some((name, first)) = ours.first() else {
        let found = others.first().ok_or(InspectError::NoExport)?.0.clone();
        return Err(InspectError::ContractVersion { found });
    };
    match ours.iter().find(|(_, other)| other.version != first.version) {
        Some((other, _)) => {
            Err(InspectError::TwoDrivers { first: (*name).clone(), second: (*other).clone() })
        }
        None => Ok(()),
    }
}

fn supported(interface: Interface<'_>, name: &str) -> Result<(), InspectError> {
    if interface.is_supported() {
        Ok(())
    } else {
        Err(InspectError::ContractVersion { found: name.to_owned() })
    }
}

/// Without the mark of the standard name mangling of core modules.
fn plain(name: &str) -> &str {
    name.strip_prefix("cm32p2|").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::built_in;

    const MAX: usize = 1 << 20;

    fn wat(text: &str) -> Result<(), InspectError> {
        inspect(&wat::parse_str(text).unwrap(), MAX)
    }

    #[test]
    fn what_is_built_in_passes() {
        for module in built_in::MODULES {
            assert_eq!(inspect(module, MAX), Ok(()));
        }
    }

    #[test]
    fn size_comes_first() {
        let hit = LimitHit { which: Limit::ModuleBytes, limit: 8, measured: Some(9) };
        assert_eq!(inspect(&[0; 9], 8), Err(InspectError::TooLarge(hit)));
    }

    #[test]
    fn rubbish_is_malformed() {
        let bridge = built_in::MODULES[0];
        for bytes in [&b""[..], b"\0asm", b"(module)", &bridge[..bridge.len() / 2]] {
            assert!(matches!(inspect(bytes, MAX), Err(InspectError::Malformed { .. })));
        }
    }

    #[test]
    fn a_module_without_the_sdk_is_told_so() {
        assert_eq!(wat("(module)"), Err(InspectError::NoContract));
    }

    #[test]
    fn imports_are_the_contract_s() {
        let name = "wasi_snapshot_preview1";
        assert_eq!(
            wat(&format!(
                r#"(module (import "{name}" "fd_write" (func)) (@custom "component-type" ""))"#
            )),
            Err(InspectError::UnknownImport { name: name.into() })
        );
        let name = "wasi:cli/environment@0.2.6";
        assert_eq!(
            wat(&format!(r#"(component (import "{name}" (instance)))"#)),
            Err(InspectError::UnknownImport { name: name.into() })
        );
    }

    #[test]
    fn another_version_is_named() {
        let found = "postern:driver/log@0.2.0";
        assert_eq!(
            wat(&format!(r#"(component (import "{found}" (instance)))"#)),
            Err(InspectError::ContractVersion { found: found.into() })
        );
        let found = "postern:driver/driver@0.2.0#describe";
        assert_eq!(
            wat(&format!(r#"(module (func (export "{found}")) (@custom "component-type" ""))"#)),
            Err(InspectError::ContractVersion { found: found.into() })
        );
    }

    #[test]
    fn a_driver_may_be_built_for_other_versions_too() {
        let text = |versions: [&str; 2]| {
            let export = |version| {
                format!(r#"(export "postern:driver/driver@{version}" (instance $driver))"#)
            };
            format!("(component (instance $driver) {})", versions.map(export).concat())
        };
        assert_eq!(wat(&text(["0.2.0", "0.1.0"])), Ok(()));
        assert_eq!(wat(&text(["0.1.0", "0.2.0"])), Ok(()));
        assert!(matches!(wat(&text(["0.1.0", "0.1.1"])), Err(InspectError::TwoDrivers { .. })));
    }

    #[test]
    fn a_component_without_a_driver_is_none() {
        assert_eq!(wat("(component)"), Err(InspectError::NoExport));
    }

    #[test]
    fn machine_code_is_refused() {
        let engine = crate::engine::engine(&crate::limits::Limits::default()).unwrap();
        let component = wat::parse_str("(component)").unwrap();
        let code = engine.precompile_component(&component).unwrap();
        assert_eq!(inspect(&code, MAX), Err(InspectError::Precompiled));
    }

    proptest! {
        #[test]
        fn damaged_bytes_do_no_harm(places in prop::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
            let mut bytes = built_in::MODULES[2].to_vec();
            for (place, byte) in places {
                let place = usize::from(place) % bytes.len();
                bytes[place] = byte;
            }
            // Damage may go unseen here; the compiler validates what is left.
            if let Ok(surface) = surface(&bytes) {
                prop_assert!(surface.imports.len() <= bytes.len());
            }
            let taken = inspect(&bytes, MAX).is_ok();
            prop_assert!(!taken || is_core(&bytes));
        }
    }
}
