"""Everyday words: what a caller has said who is understood to say one of them, whatever name it sounds like."""

from __future__ import annotations

from voiceagent.language.spanish.plain import plain
from voiceagent.language.words import word_set

__all__ = ["is_common"]

_COMMON = word_set(
    """
    a abajo abierto abogado abonar abrigo abril abrir abuela abuelo acabar aceptar acera acerca aclarar acordar
    actividad actual acuerdo adelante ademas adios administrar adonde aeropuerto agencia agente agosto agregar agua
    ahi ahora ahorro aire al alegre algo alguien algun alguno alla alli alma almorzar alquiler alta alto amable amar
    amarillo ambos amigo amor ancho andar animal ano anoche anotar anterior antes antiguo anular anunciar apagar
    aparato aparecer apartamento apellido apenas aplicar apoyar aprender aprobar apuntar aquel aqui arbol archivo
    area arreglar arriba articulo asegurar asi asistir asunto atencion atender atras aumentar aun aunque auto autobus
    autorizar avenida averia avion avisar ayer ayudar azucar azul baja bajo balance banco banar bano barato barco barrio
    base basta bastante beber bien billete blanco boca boda boleto bolsa bolsillo bonito borrar botella breve brazo
    buen bueno buscar caballo cabeza cada caer cafe caja cajero calidad caliente calle calma calor cama cambiar cambio
    caminar camino camion camisa campo cancelar cansado cantidad capital cara cargo carne caro carpeta carrera carta
    cartera casa casar casi caso causa celular cena central centro cerca cerrar chica chico cielo cien ciento cierto
    cinco cine cita ciudad claro clase clave cliente cobrar cobro coche cocina codigo coger color comenzar comer
    comida comision como compania completo comprar comprender comprobar comun comunicar con conducir confirmar conmigo
    conocer conseguir consulta contacto contar contestar contigo contra contrato contrasena control copia corazon
    correcto correo correr cortar corto cosa costar crear crecer credito creer cruzar cual cualquier cuando cuanto
    cuarenta cuarto cuatro cubrir cuenta cuerpo cuidado culpa cumplir cuota curso dano dar dato de debajo deber debil
    decidir decir dejar del delante demas demasiado dentista dentro depender deposito derecha derecho desayuno descansar
    desde desear despacho despacio despedir despues destino detras deuda devolver dia diario diciembre diente diez
    dificil digame dinero direccion directo disculpe disponible dividir doble doce doctor documento dolar doler dolor
    domicilio domingo donde dormir dos duda dueno durante duro e echar edad efectivo ejemplo el electricidad elegir ella
    ello empezar empleo empresa en encantado encender encima encontrar enero enfermo enfrente ensenar entender entero
    entonces entrada entrar entre entregar enviar envio equipo error escalera escribir escuchar escuela ese eso espacio
    espalda espera esperar esposa esposo esquina esta estacion estado estar este esto estudiar euro exacto examen
    explicar extra extracto extranjero facil factura falta familia farmacia favor febrero fecha feliz fijo fin final
    firma fondo forma foto frente fresco frio fruta fuego fuera fuerte funcionar futuro ganar garantia gas gasto gente
    gracias grande gratis grave gris gritar grupo guapo guardar guia gustar haber habitacion hablar hacer hacia hambre
    hasta hecho hermana hermano hermoso hija hijo historia hogar hoja hola hombre hora horario hospital hotel hoy hubo
    huevo idea idioma igual importar importe impuesto incluir incluso incorrecto indicar informacion informar ingreso
    inicio intentar interes invierno ir isla izquierda jamas jardin jefe joven jueves juego jugar julio junio junto la
    labio lado ladron lapiz largo lastima lavar leche leer lejos lengua lento letra levantar libra libre libreta libro
    ligero limite limpio linea listo llamada llamar llave llegar llenar lleno llevar llorar llover lluvia lo loco luego
    lugar luna lunes luz madre mal malo manana mandar manera mano mapa maquina mar marca marcar marido martes marzo mas
    matar mayo mayor me medico medio mejor memoria menor menos mensaje mensual mentira menu mercado mes mesa metro mi
    miedo miembro mientras miercoles mil millon minuto mirar mismo mitad modo molestar momento moneda monte morir
    mostrar motivo mover movil muchacha muchacho mucho muerte muestra mujer multa mundo musica muy nacer nacional nada
    nadie naranja necesitar negocio negro ni nieta nieto nina ninguno nino no noche nombre normal norte nosotros nota
    noticia noventa noviembre novia novio nube nueve nuevo numero nunca o objeto ocho octubre ocupado oferta oficina
    ofrecer oido oir ojala ojo olvidar once opcion operador operar orden oscuro otono otra otro paciente padre pagar
    pago pais palabra pan pantalla papa papel paquete par para parar parecer pared pareja parte partido pasado pasaporte
    pasar paseo paso pedido pedir pelicula peligro pelo pendiente pensar pension peor pequeno perder perdon perfecto
    periodo permiso pero perro persona pesar peso pie piel pierna piso plan plata playa plaza plazo poco poder policia
    poliza poner por porque posible precio preferir pregunta preguntar premio preparar presentar prestamo primavera
    primero prima primo principal prisa privado probar problema proceso producto programa pronto propio proteger
    proximo prueba publico pueblo puerta pues punto que quedar quejar querer quien quince quinto quitar quiza quizas
    rapido raro razon realizar recado receta recibir recibo reciente reclamar recoger recordar red reembolso
    referencia regalo registro regresar reir reloj renovar reparar repetir reserva responder resto resultado resumen
    retirar reunion revisar rico rio robar robo rojo romper ropa roto ruido sabado saber sacar sal sala saldo salida
    salir saltar salud sangre santo se seco secretaria segundo seguir segun seguridad seguro seis semana sencillo
    senor senora senorita sentar sentir separar septiembre ser serio servicio servir sesenta setenta si siempre siete
    siglo significar siguiente silencio silla simple sin sitio situacion sobre sol solicitar solo sonar sonido subir
    sucio sucursal suelo suerte sufrir sumar super supuesto sur tal tambien tampoco tan tanto tarde tarifa tarjeta taxi
    te techo telefono televisor temprano tener terminar tercero ti tia tiempo tienda tierra tio tipo titular tocar todo
    tomar tono total trabajar trabajo traer tramite tranquilo transferencia transferir tras tratar traves trece treinta
    tren tres triste tu ultimo un una uno urgente usar usted usuario util vaca vacaciones vacio vale valer valor varios
    vaso vecino veinte vender venir venta ventana ver verano verdad verde verificar vestir vez viaje vida viejo viento
    viernes vino visita vista viuda vivir volver voz vuelo vuelta y ya yo zapato zona
    di dije dijo doy es era eres estoy fue fui ha hay he hice hizo pago pide puede puedo pude puse quiero quiere quise
    sabe se soy son sea tengo tiene tuve va vamos van vaya vengo viene voy vuelvo
    """
)
_ENDINGS = (
    "ariamos", "eriamos", "iriamos", "aremos", "eremos", "iremos", "iendo", "ando", "abamos", "amos", "emos", "imos",
    "aron", "ieron", "aban", "ian", "aria", "eria", "iria", "ados", "idos", "adas", "idas", "ado", "ido", "ada", "ida",
    "aba", "ia", "are", "ere", "ire", "ara", "era", "ira", "aste", "iste", "les", "los", "las",
    "nos", "lo", "la", "le", "me", "te", "se", "mente", "ito", "ita", "itos", "itas", "eme", "ame", "an", "en", "as",
    "es", "io", "os", "s", "o", "a", "e",
)  # fmt: skip
_AS_LISTED = ("", "o", "a", "e", "ar", "er", "ir")
"""Endings with which words stand above."""


def is_common(word: str) -> bool:
    """Return whether `word`, in small letters, is an everyday word or one with an everyday ending."""
    said = plain(word)
    if said in _COMMON:
        return True
    stems = (said.removesuffix(ending) for ending in _ENDINGS if said.endswith(ending))
    return any(stem + ending in _COMMON for stem in stems if len(stem) > 2 for ending in _AS_LISTED)
